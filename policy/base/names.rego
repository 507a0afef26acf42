# Names under which data may speak of a domain.
package sallyport.names

# wildcards("a.b.example") is ["*.b.example", "*.example"]: the closest first. A wildcard speaks for the domains below its
# suffix, never for the suffix itself.
wildcards(domain) := [name |
	labels := split(domain, ".")
	some i, _ in labels
	i > 0
	name := concat(".", array.concat(["*"], array.slice(labels, i, count(labels))))
]

# firm are the rules that no grant lifts, and that are never only observed: what crosses in clear or under a false name cannot be called
# back, the switch stops everything, and what data.internal keeps inside is let out there and nowhere else.
firm := {
	"channel-floor", "forged-envelope", "freeze", "pin", "revoked",
	"internal-domain", "internal-group", "internal-label", "internal-room", "internal-user",
}
