package sallyport.surface_test

import data.sallyport.surface

asked(direction, from, to, type, class) := {
	"direction": direction,
	"local": {"domain": "corp.example"},
	"remote": {"domain": "partner.example"},
	"from": {"local": from},
	"to": {"local": to},
	"stanza": {"type": type, "class": [class]},
}

test_refused[note] if {
	some note, [direction, from, to, type, class, rule] in {
		"registering": ["in", "x", "", "set", "register", "register"],
		"commands": ["in", "x", "", "set", "admin", "admin"],
		"an archive": ["in", "x", "y", "set", "archive", "archive"],
		"a message that rules": ["in", "x", "y", "chat", "admin", "admin"],
		"a carbon copy": ["in", "x", "y", "chat", "forged-envelope", "forged-envelope"],
		"a carbon copy of ours": ["out", "x", "y", "chat", "forged-envelope", "forged-envelope"],
		"a user of another network": ["in", "x", "romeo%msn.example", "chat", "gateway", "gateway"],
		"escaped": ["in", "x", `romeo\40msn.example`, "chat", "gateway", "gateway"],
		"writing": ["out", "romeo%msn.example", "x", "chat", "gateway", "gateway"],
		"an address for a gateway": ["in", "x", "", "get", "gateway", "gateway"],
	}
	denied := surface.deny with data.gateways as {} with data.surface as {} with input as asked(direction, from, to, type, class)
	{member.rule | some member in denied} == {rule}
}

test_let_through[note] if {
	some note, [direction, from, to, type, class] in {
		"answers": ["in", "x", "y", "result", "admin"],
		"what ours ask": ["out", "x", "", "set", "register"],
		"texts": ["in", "x", "y", "chat", "text"],
		"a gateway of the other side": ["out", "x", "romeo%msn.example", "chat", "gateway"],
		"its answers": ["in", "romeo%msn.example", "x", "chat", "gateway"],
		"an answer about a gateway": ["in", "", "x", "result", "gateway"],
	}
	surface.deny == set() with data.gateways as {} with data.surface as {} with input as asked(direction, from, to, type, class)
}

test_allowed_by_data if {
	surface.deny == set() with data.surface as {"allow": {"admin": true}} with input as asked("in", "x", "y", "set", "admin")
	surface.deny == set() with data.surface as {"allow": {"archive": {"corp.example": true}}} with input as asked("in", "x", "y", "set", "archive")
	count(surface.deny) == 1 with data.surface as {"allow": {"archive": {"rooms.corp.example": true}}} with input as asked("in", "x", "y", "set", "archive")
	surface.deny == set() with data.gateways as {"corp.example": true} with input as asked("in", "x", "romeo%msn.example", "chat", "gateway")
}
