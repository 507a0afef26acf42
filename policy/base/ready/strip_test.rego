package sallyport.ready.strip_test

import data.sallyport.ready.strip

documents := {"xhtml": true, "chat_states": true, "payloads": {"urn:example:a": true, "urn:example:b|x": true, "urn:example:c": false}}

with_payload(direction, payload) := {"direction": direction, "stanza": {"payloads": ["jabber:server|body", payload]}}

test_what_is_stripped[payload] if {
	some payload, stripped in {
		"http://jabber.org/protocol/xhtml-im|html": true,
		"http://jabber.org/protocol/chatstates|active": true,
		"urn:example:a|anything": true,
		"urn:example:b|x": true,
		"urn:example:b|y": false,
		"urn:example:c|x": false,
		"urn:xmpp:forward:0|forwarded": true,
		"urn:xmpp:mam:2|result": true,
		"http://jabber.org/protocol/pubsub#event|event": true,
		"urn:xmpp:mam:2|result": true,
		"http://jabber.org/protocol/pubsub#event|event": true,
	}
	changes := strip.transform with data.strip as documents with input as with_payload("in", payload)
	(count(changes) == 1) == stripped
}

test_all_of_it_by_name if {
	some change in strip.transform with data.strip as documents with input as with_payload("in", "urn:example:a|x")
	change.payloads == ["http://jabber.org/protocol/chatstates", "http://jabber.org/protocol/xhtml-im", "jabber:x:event", "urn:example:a", "urn:example:b|x"]
}

test_nothing_is_wanted if {
	strip.transform == set() with data.strip as {"payloads": {"urn:example:a": false}} with input as with_payload("in", "urn:xmpp:forward:0|forwarded")
}

test_one_way if {
	strip.transform == set() with data.strip as object.union(documents, {"direction": "out"}) with input as with_payload("in", "urn:example:a|x")
}

test_faults if {
	strip.faults == {
		"data.strip.html: there are xhtml, chat_states, payloads and direction",
		"data.strip.payloads must be an object, keyed by namespace or namespace|element", "data.strip.direction must be in, out or both",
	} with data.strip as {"html": true, "payloads": [], "direction": "up"}
	strip.faults == {`data.strip.xhtml is "no", must be true or false`, `data.strip.payloads["urn:x"] is 1, must be true or false`} with data.strip as {"xhtml": "no", "payloads": {"urn:x": 1}}
	strip.faults == set() with data.strip as documents
	strip.faults == set() with data.strip as {"payloads": {"|x": true, "jabber:client:mine": true}}
	count(strip.faults) == 5 with data.strip as {"payloads": {"": true, "urn:x|": true, " urn:x": true, "jabber:client": true, "jabber:client|subject": true}}
}
