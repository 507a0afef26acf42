package sallyport.ready.mark_test

import data.sallyport.ready.mark

documents := {"in": "[external] ", "except": {"*.sister.example": true}}

message(direction, remote, type, method, class) := {"direction": direction, "remote": {"domain": remote}, "stanza": {"kind": "message", "type": type, "e2ee": method, "class": [class]}}

test_marked[note] if {
	some note, [direction, remote, type, method, class, marked] in {
		"a text": ["in", "partner.example", "chat", "", "text", true],
		"the other way": ["out", "partner.example", "chat", "", "text", false],
		"an error": ["in", "partner.example", "error", "", "text", false],
		"a cipher, which cannot be": ["in", "partner.example", "chat", "otr", "text", false],
		"what can be read beside one": ["in", "partner.example", "chat", "omemo", "text", true],
		"no text": ["in", "partner.example", "chat", "", "signal", false],
		"a sister": ["in", "a.sister.example", "chat", "", "text", false],
	}
	changes := mark.transform with data.mark as documents with input as message(direction, remote, type, method, class)
	(count(changes) == 1) == marked
}

test_faults if {
	mark.faults == {"data.mark.inn: there are in, out and except", "data.mark.out must be a text"} with data.mark as {"inn": "x", "out": true}
	mark.faults == {"data.mark.in must be a text"} with data.mark as {"in": " "}
	mark.faults == set() with data.mark as documents
}
