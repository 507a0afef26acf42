package sallyport.inside_test

import data.sallyport.inside

kept := {
	"domains": {"intranet.corp.example": true, "*.lab.corp.example": {}},
	"users": {"ceo@corp.example": true, "freed@corp.example": false},
	"rooms": {"board@conference.corp.example": {}},
	"groups": {"works-council": true, "everyone": false},
}

groups := {"works-council": {"rep@corp.example": {}}, "everyone": {"juliet@corp.example": {}}}

crossing(direction, local, remote) := {
	"direction": direction,
	"local": {"domain": split(local, "@")[1]},
	"remote": {"domain": split(remote, "@")[1]},
	"from": {"bare": {"in": remote, "out": local}[direction]},
	"to": {"bare": {"in": local, "out": remote}[direction]},
}

# Whoever is kept inside crosses in neither direction, and only our own side is told why.
test_kept[name] if {
	some name, [address, rule] in {
		"user": ["ceo@corp.example", "internal-user"],
		"room": ["board@conference.corp.example", "internal-room"],
		"group": ["rep@corp.example", "internal-group"],
		"domain": ["anyone@intranet.corp.example", "internal-domain"],
		"domain below a wildcard": ["anyone@a.lab.corp.example", "internal-domain"],
	}
	every direction, condition in {"in": "service-unavailable", "out": "forbidden"} {
		refusal := inside.refusal with data.internal as kept
			with data.groups as groups
			with input as crossing(direction, address, "romeo@partner.example")
		refusal.rule == rule
		refusal.condition == condition
	}
}

# A gateway's name for somebody is that of somebody.
test_kept_behind_a_gateway[name] if {
	some name, [address, rule] in {
		"user": ["ceo%corp.example@irc.corp.example", "internal-user"],
		"user, escaped": [`ceo\40corp.example@irc.corp.example`, "internal-user"],
		"user, with a final dot": ["ceo%corp.example.@irc.corp.example", "internal-user"],
		"room": ["board%conference.corp.example@irc.corp.example", "internal-room"],
		"group": [`rep\40corp.example@irc.corp.example`, "internal-group"],
		"domain": ["#ops%intranet.corp.example@irc.corp.example", "internal-domain"],
		"domain below a wildcard": ["#ops%a.lab.corp.example@irc.corp.example", "internal-domain"],
	}
	every way in [["in", address, "romeo@partner.example"], ["out", "juliet@corp.example", address], ["out", address, "romeo@partner.example"]] {
		refusal := inside.refusal with data.internal as kept
			with data.groups as groups
			with input as crossing(way[0], way[1], way[2])
		refusal.rule == rule
	}
}

test_others_behind_a_gateway_cross[address] if {
	some address in ["#ops%irc.example@irc.corp.example", `juliet\40corp.example@irc.corp.example`, `d\27artagnan@corp.example`]
	not inside.refusal with data.internal as kept
		with data.groups as groups
		with input as crossing("in", address, "romeo@partner.example")
}

test_stranger_is_told_nothing if {
	refusal := inside.refusal with data.internal as kept
		with input as crossing("in", "ceo@corp.example", "romeo@partner.example")
	refusal.message == ""
}

test_others_cross[address] if {
	some address in ["juliet@corp.example", "freed@corp.example", "anyone@lab.corp.example"]
	every direction in ["in", "out"] {
		not inside.refusal with data.internal as kept
			with data.groups as groups
			with input as crossing(direction, address, "romeo@partner.example")
	}
}

test_nothing_is_kept_by_default if {
	not inside.refusal with input as crossing("out", "juliet@corp.example", "romeo@partner.example")
}

test_domain_that_is_kept_is_no_remote_either if {
	inside.domain with data.internal as kept
		with input as crossing("out", "juliet@corp.example", "x@intranet.corp.example")
}
