package sallyport.ready.presence_test

import data.sallyport.ready.presence

peers := {"friend.example": {"presence": "full"}, "shy.example": {"presence": "none"}, "any.example": {}}

shown(direction, remote, kind, class) := {"direction": direction, "remote": {"domain": remote}, "stanza": {"kind": kind, "class": class}}

fold := {{"rule": "presence", "do": "fold-presence"}}

test_terms[note] if {
	some note, [direction, remote, kind, class, changes, denials] in {
		"folded": ["out", "any.example", "presence", ["presence"], 1, 0],
		"full": ["out", "friend.example", "presence", ["presence"], 0, 0],
		"none": ["out", "shy.example", "presence", ["presence"], 1, 1],
		"a room": ["out", "shy.example", "presence", ["muc", "presence"], 1, 0],
		"the other way": ["in", "shy.example", "presence", ["presence"], 0, 0],
		"a message": ["out", "any.example", "message", ["text"], 0, 0],
	}
	count(presence.transform) == changes with data.peers as peers with data.presence as {} with input as shown(direction, remote, kind, class)
	count(presence.deny) == denials with data.peers as peers with data.presence as {} with input as shown(direction, remote, kind, class)
}

test_both_ways if {
	presence.transform == fold with data.peers as peers with data.presence as {"direction": "both"} with input as shown("in", "any.example", "presence", [])
}

test_faults if {
	presence.faults == {
		"data.presence.fold: there are default and direction", "data.presence.default must be full, folded or none",
		"data.presence.direction must be in, out or both", `data.peers["x.example"].presence is true, must be full, folded or none`,
	} with data.presence as {"fold": true, "default": "yes", "direction": "up"} with data.peers as {"x.example": {"presence": true}, "y.example": {}}
}
