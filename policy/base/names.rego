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
