package sallyport.ready.rights_test

import data.sallyport.ready.rights

documents := {
	"users": {"intern@corp.example": {}, "lead@corp.example": {"default": "both"}},
	"groups": {"research": {"alpha.example": "both", "*.lab.example": "in"}, "sales": {"default": "both", "rival.example": "none"}},
}

groups := {
	"research": {"rhea@corp.example": {}, "lead@corp.example": {}, "both@corp.example": {}},
	"sales": {"sam@corp.example": {}, "both@corp.example": {}},
}

crossing(direction, ours, remote) := {
	"direction": direction,
	"remote": {"domain": remote},
	"from": {"bare": {"in": concat("@", ["x", remote]), "out": ours}[direction]},
	"to": {"bare": {"in": ours, "out": concat("@", ["x", remote])}[direction]},
}

test_who_may[note] if {
	some note, [direction, ours, remote, allowed] in {
		"a group": ["out", "rhea@corp.example", "alpha.example", true],
		"a group, in": ["in", "rhea@corp.example", "alpha.example", true],
		"a group, elsewhere": ["out", "rhea@corp.example", "gamma.example", false],
		"one way": ["in", "rhea@corp.example", "a.lab.example", true],
		"not the other": ["out", "rhea@corp.example", "a.lab.example", false],
		"everybody": ["out", "sam@corp.example", "gamma.example", true],
		"but one": ["out", "sam@corp.example", "rival.example", false],
		"one group of two is enough": ["out", "both@corp.example", "gamma.example", true],
		"a user stands before the groups": ["out", "lead@corp.example", "gamma.example", true],
		"nobody": ["out", "intern@corp.example", "alpha.example", false],
		"of whom nothing is said": ["out", "juliet@corp.example", "alpha.example", true],
	}
	denied := rights.deny with data.rights as documents with data.groups as groups with input as crossing(direction, ours, remote)
	(count(denied) == 0) == allowed
}

test_default_none if {
	count(rights.deny) == 1 with data.rights as {"default": "none"} with data.groups as groups with input as crossing("out", "juliet@corp.example", "alpha.example")
}

test_stranger_is_told_nothing if {
	some denied in rights.deny with data.rights as documents with data.groups as groups with input as crossing("in", "intern@corp.example", "alpha.example")
	denied.condition == "service-unavailable"
	denied.message == ""
}

test_faults if {
	rights.faults == {
		"data.rights.user: there are users, groups and default", "data.rights.default must be all or none",
		"data.rights.groups: there is no group reserch in data.groups",
		`data.rights.groups["reserch"]["x.example"] is true, must be none, in, out or both`,
	} with data.rights as {"user": {}, "default": "some", "groups": {"reserch": {"x.example": true}}} with data.groups as groups
	rights.faults == set() with data.rights as documents with data.groups as groups
}
