package sallyport.ready.grants_test

import data.sallyport.ready.grants

given := {"owner": "legal", "ticket": "OPS-7", "reason": "due diligence", "until": "2999-06-30"}

documents := {
	"deal": object.union(given, {"rules": ["files"], "peers": ["partner.example"], "users": ["sam@corp.example"]}),
	"old": object.union(given, {"rules": ["files"], "peers": ["*.group.example"], "until": "2020-01-01"}),
	"group": object.union(given, {"rules": ["calls", "peer-not-listed"], "peers": ["*.group.example"]}),
}

crossing(direction, ours, remote) := {
	"direction": direction,
	"remote": {"domain": remote},
	"from": {"bare": {"in": concat("@", ["x", remote]), "out": ours}[direction]},
	"to": {"bare": {"in": ours, "out": concat("@", ["x", remote])}[direction]},
}

test_excused[note] if {
	some note, [direction, ours, remote, rules] in {
		"a user": ["out", "sam@corp.example", "partner.example", {"files"}],
		"a user, in": ["in", "sam@corp.example", "partner.example", {"files"}],
		"another user": ["out", "rhea@corp.example", "partner.example", set()],
		"another peer": ["out", "sam@corp.example", "other.example", set()],
		"a wildcard; what has ended is over": ["out", "rhea@corp.example", "a.group.example", {"calls", "peer-not-listed"}],
	}
	excused := grants.excuse with data.grants as documents with input as crossing(direction, ours, remote)
	object.keys(excused) == rules
}

test_excuse_says_which_grant if {
	excused := grants.excuse with data.grants as documents with input as crossing("out", "sam@corp.example", "partner.example")
	excused.files == "grant deal (OPS-7) until 2999-06-30"
}

test_links_are_excused_for_nobody_in_particular if {
	excused := grants.link_excuse with data.grants as documents with input as {"remote": {"domain": "a.group.example"}}
	object.keys(excused) == {"calls", "peer-not-listed"}
	none := grants.link_excuse with data.grants as documents with input as {"remote": {"domain": "partner.example"}}
	none == {}
}

test_what_no_grant_lifts[rule] if {
	some rule in ["channel-floor", "forged-envelope", "freeze", "internal-user", "pin", "revoked"]
	documents := {"a": object.union(given, {"rules": [rule], "peers": ["x.example"]})}
	grants.faults == {sprintf(`data.grants["a"].rules[0]: no grant lifts %s`, [rule])} with data.grants as documents
}

test_faults if {
	grants.faults == set() with data.grants as documents
	grants.faults == {
		`data.grants["a"] has no ticket`, `data.grants["a"].user: nothing reads that`, `data.grants["a"].rules must be a list of texts`,
		`data.grants["a"].until is "soon", must be a day (2027-06-30) or a time in UTC (2027-06-30T12:00:00Z)`,
	} with data.grants as {"a": {"rules": "files", "peers": ["x.example"], "owner": "o", "reason": "r", "until": "soon", "user": "x"}}
}
