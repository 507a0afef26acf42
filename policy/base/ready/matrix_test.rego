package sallyport.ready.matrix_test

import data.sallyport.ready.matrix

rows := {"corp.example": {
	"partner.example": {"in": true, "out": {"message": true, "call.audio": true}},
	"*.group.example": {"out": {"presence": true}, "in": {}},
	"nofiles.example": {"in": true, "out": {"message": true, "file": false}},
	"texts.example": {"out": {"text": true, "signal": true}},
	"default": {"in": {"message": true}},
}}

sent(direction, remote, kind, class) := {"direction": direction, "local": {"domain": "corp.example"}, "remote": {"domain": remote}, "stanza": {"kind": kind, "class": class}}

test_cells[note] if {
	some note, [direction, remote, kind, class, allowed] in {
		"all": ["in", "partner.example", "iq", [], true],
		"a kind": ["out", "partner.example", "message", ["text"], true],
		"a class": ["out", "partner.example", "iq", ["call.audio"], true],
		"neither": ["out", "partner.example", "iq", ["file"], false],
		"each class": ["out", "texts.example", "message", ["signal", "text"], true],
		"one class of two": ["out", "texts.example", "message", ["file", "text"], false],
		"no class": ["out", "texts.example", "message", [], false],
		"a wildcard": ["out", "a.group.example", "presence", ["presence"], true],
		"a wildcard is not its domain": ["out", "group.example", "presence", ["presence"], false],
		"said no to": ["out", "nofiles.example", "message", ["file", "text"], false],
		"and not said no to": ["out", "nofiles.example", "message", ["text"], true],
		"everybody else": ["in", "other.example", "message", [], true],
		"everybody else, out": ["out", "other.example", "message", [], false],
	}
	denied := matrix.deny with data.matrix as rows with input as sent(direction, remote, kind, class)
	(count(denied) == 0) == allowed
}

test_links[note] if {
	some note, [direction, remote, allowed] in {
		"a cell": ["out", "partner.example", true],
		"an empty one": ["in", "a.group.example", false],
		"none": ["out", "other.example", false],
	}
	denied := matrix.link_deny with data.matrix as rows with input as sent(direction, remote, "", [])
	(count(denied) == 0) == allowed
}

test_domain_of_ours_without_a_row if count(matrix.link_deny) == 1 with data.matrix as {} with input as sent("out", "partner.example", "", [])

test_faults if {
	matrix.faults == {
		`data.matrix["corp.example"]["x.example"].both: there are in and out`,
		`data.matrix["corp.example"]["x.example"].in must be true or an object of kinds and classes`,
		`data.matrix["x"] must be an object, keyed by remote domain`,
		`data.matrix["corp.example"]["y.example"] must be an object of in and out`,
		`data.matrix["corp.example"]["z.example"].out must be true or an object of kinds and classes`,
		`data.matrix["corp.example"]["z.example"].in["message"] is "no", must be true or false`,
		`data.matrix["corp.example"]["z.example"].in["text"] is 0, must be true or false`,
		`data.matrix["corp.example"]["z.example"].in["flie"] is no kind and no class`,
	} with data.matrix as {"x": true, "corp.example": {
		"x.example": {"both": true, "in": ["message"]},
		"y.example": "no",
		"z.example": {"in": {"message": "no", "text": 0, "flie": true, "presence": false}, "out": "no"},
	}}
	matrix.faults == set() with data.matrix as rows
}
