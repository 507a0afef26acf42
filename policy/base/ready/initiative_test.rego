package sallyport.ready.initiative_test

import data.sallyport.ready.initiative

peers := {"friend.example": {"initiative": "both"}, "any.example": {}}

sent(direction, remote, kind, type, contact) := {
	"direction": direction, "remote": {"domain": remote}, "contact": contact, "to": {"local": "juliet"}, "stanza": {"kind": kind, "type": type},
}

test_who_begins[note] if {
	some note, [direction, remote, kind, type, contact, allowed] in {
		"a stranger": ["in", "any.example", "message", "chat", false, false],
		"whoever was written to": ["in", "any.example", "message", "chat", true, true],
		"one of ours": ["out", "any.example", "message", "chat", false, true],
		"a friend": ["in", "friend.example", "message", "chat", false, true],
		"an error": ["in", "any.example", "message", "error", true, true],
		"an error about nothing": ["in", "any.example", "message", "error", false, false],
		"a subscription": ["in", "any.example", "presence", "subscribe", false, false],
		"presence": ["in", "any.example", "presence", "", false, false],
		"the end of it": ["in", "any.example", "presence", "unavailable", false, false],
		"presence of whoever was written to": ["in", "any.example", "presence", "", true, true],
		"a question": ["in", "any.example", "iq", "get", false, false],
		"an answer": ["in", "any.example", "iq", "result", false, true],
	}
	denied := initiative.deny with data.peers as peers with data.initiative as {} with input as sent(direction, remote, kind, type, contact)
	(count(denied) == 0) == allowed
}

test_the_server_may_be_asked if {
	question := object.union(sent("in", "any.example", "iq", "get", false), {"to": {"local": ""}})
	initiative.deny == set() with data.peers as peers with data.initiative as {} with input as question
}

test_faults if {
	initiative.faults == {"data.initiative.inside: there is default", "data.initiative.default must be inside or both", `data.peers["x.example"].initiative is true, must be inside or both`} with data.initiative as {"inside": true, "default": "us"} with data.peers as {"x.example": {"initiative": true}, "y.example": {}}
}
