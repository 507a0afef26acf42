# Names of rules that other packages have to know.
package sallyport.names

# firm are the rules that no grant lifts, and that are never only observed: what crosses in clear or under a false name cannot be called
# back, the switch stops everything, and what data.internal keeps inside is let out there and nowhere else.
firm := {
	"channel-floor", "forged-envelope", "freeze", "pin", "revoked",
	"internal-domain", "internal-group", "internal-label", "internal-room", "internal-user",
}
