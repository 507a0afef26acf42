# What data.internal keeps inside, in either direction. (The package is not called internal: beside `in` a rule or package
# of that name shadows the functions that `in` compiles to.)
package sallyport.inside

# refusal says why an address may not cross; it is undefined when it may. Which side is ours is not asked: whoever is named
# crosses in no direction.
refusal := domain if {
	domain
} else := kept("internal-user", "data.internal.users has the address") if {
	data.internal.users[input.from.bare]
} else := kept("internal-user", "data.internal.users has the address") if {
	data.internal.users[input.to.bare]
} else := kept("internal-room", "data.internal.rooms has the address") if {
	data.internal.rooms
	some bare in [input.from.bare, input.to.bare]
	data.internal.rooms[bare]
} else := kept("internal-group", "data.internal.groups has a group of the address") if {
	some name, closed in data.internal.groups
	closed
	some bare in [input.from.bare, input.to.bare]
	data.groups[name][bare]
} else := through if some _ in behind

# through is the same for whoever stands in the name that a gateway gives him: ceo%corp.example@gateway.example.
through := kept("internal-user", "data.internal.users has the address behind a gateway's") if {
	some bare in behind
	data.internal.users[bare]
} else := kept("internal-room", "data.internal.rooms has the address behind a gateway's") if {
	some bare in behind
	data.internal.rooms[bare]
} else := kept("internal-group", "data.internal.groups has a group of the address behind a gateway's") if {
	some bare in behind
	some name, closed in data.internal.groups
	closed
	data.groups[name][bare]
} else := kept("internal-domain", "data.internal.domains has the domain behind a gateway's") if {
	some bare in behind
	domain_kept(regex.replace(bare, "^.*@", ""))
}

behind contains inner if {
	data.internal
	some bare in [input.from.bare, input.to.bare]
	some inner in sallyport.behind(bare)
}

domain_kept(domain) if {
	some name in sallyport.names(domain)
	data.internal.domains[name]
}

# domain is the same for a domain, which is all that a link knows.
domain := kept("internal-domain", "data.internal.domains has the domain") if {
	data.internal.domains
	some side in [input.local.domain, input.remote.domain]
	domain_kept(side)
}

# RFC 6120 §8.3.3.4 tells our own sender that it lacks the right. A stranger is told what it would hear if there were no
# such address (RFC 6120 §8.3.3.19), so that asking does not find out who is kept inside.
kept(rule, reason) := {
	"rule": rule,
	"reason": reason,
	"condition": {"in": "service-unavailable", "out": "forbidden"}[input.direction],
	"message": {"in": "", "out": "This address does not exchange messages with other domains."}[input.direction],
}
