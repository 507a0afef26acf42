package sallyport.ready.surface_test

import data.sallyport.ready.surface

documents := {"refuse": {"disclosure": true, "jabber:iq:search": true, "urn:example:x|y": true}}

asked(direction, type, class, payload) := {"direction": direction, "stanza": {"type": type, "class": class, "payloads": [payload]}}

test_refused[note] if {
	some note, [direction, type, class, payload, denied] in {
		"a class": ["in", "get", ["disclosure"], "jabber:iq:version|query", true],
		"a namespace": ["in", "set", [], "jabber:iq:search|query", true],
		"an element": ["in", "set", [], "urn:example:x|y", true],
		"another element": ["in", "set", [], "urn:example:x|z", false],
		"an answer": ["in", "result", ["disclosure"], "jabber:iq:version|query", false],
		"ours": ["out", "get", ["disclosure"], "jabber:iq:version|query", false],
	}
	found := surface.deny with data.surface as documents with input as asked(direction, type, class, payload)
	(count(found) == 1) == denied
}

test_faults if {
	surface.faults == {"data.surface.deny: there are allow and refuse", "data.surface.allow.file: there are admin, archive and register", "data.surface.refuse must be an object, keyed by class or namespace"} with data.surface as {"deny": {}, "allow": {"file": true}, "refuse": []}
	surface.faults == set() with data.surface as documents
}
