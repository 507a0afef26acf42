# What nobody from outside has to ask of the house: to register, to rule, to reach into other networks through it. And envelopes that
# only one's own server may send.
package sallyport.surface

deny contains {
	"rule": "forged-envelope",
	"reason": "a carbon copy comes from one's own server alone (XEP-0280)",
	"condition": "not-acceptable",
	"effect": "drop",
} if {
	"forged-envelope" in input.stanza.class
}

deny contains {
	"rule": class,
	"reason": sprintf("%s asks this of %s", [input.remote.domain, input.local.domain]),
	"condition": "service-unavailable",
	"message": "",
} if {
	input.direction == "in"
	some class in input.stanza.class
	class in {"register", "admin", "archive"}
	not input.stanza.type in {"result", "error"}
	not allowed(class)
}

allowed(class) if data.surface.allow[class] == true

# The archive of a room is its members' to read, wherever they are; the one of a user is not.
allowed("archive") if data.surface.allow.archive[input.local.domain]

# Users of other networks have a % in the name, or an @ that XEP-0106 has escaped. A gateway has to be named to be reached.
deny contains {
	"rule": "gateway",
	"reason": sprintf("%s is not in data.gateways", [input.local.domain]),
	"condition": {"in": "service-unavailable", "out": "forbidden"}[input.direction],
	"message": {"in": "", "out": "Gateways to other networks do not exchange messages with other domains."}[input.direction],
} if {
	"gateway" in input.stanza.class
	foreign
	not data.gateways[input.local.domain]
}

foreign if {
	input.direction == "in"
	not input.stanza.type in {"result", "error"}
	not elsewhere
}

foreign if regex.match(`%|\\40`, {"in": input.to.local, "out": input.from.local}[input.direction])

# elsewhere: it is the other side's gateway, and their affair.
elsewhere if {
	not regex.match(`%|\\40`, input.to.local)
	regex.match(`%|\\40`, input.from.local)
}
