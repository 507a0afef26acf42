package sallyport.ready.e2ee_test

import data.sallyport.ready.e2ee

written(remote, type, method, class) := sent("message", remote, type, method, class)

sent(kind, remote, type, method, class) := {"remote": {"domain": remote}, "stanza": {"kind": kind, "type": type, "e2ee": method, "class": [class], "has_body": class == "text"}}

peers := {"sealed.example": {"e2ee": "required"}, "open.example": {"e2ee": "forbidden"}, "any.example": {}}

test_terms[note] if {
	some note, [remote, type, method, class, allowed] in {
		"required and there": ["sealed.example", "chat", "omemo", "text", true],
		"required and not there": ["sealed.example", "chat", "", "text", false],
		"a file in clear": ["sealed.example", "chat", "", "file", false],
		"a chat state": ["sealed.example", "chat", "", "signal", true],
		"keys": ["sealed.example", "headline", "", "pubsub", true],
		"an error with a cipher": ["sealed.example", "error", "omemo", "text", true],
		"a text that calls itself an error": ["sealed.example", "error", "", "text", false],
		"forbidden and there": ["open.example", "chat", "otr", "e2ee.otr", false],
		"forbidden, and a sign of it": ["open.example", "chat", "", "e2ee.omemo", false],
		"forbidden and not there": ["open.example", "chat", "", "text", true],
		"as people like": ["any.example", "chat", "omemo", "text", true],
		"as people like, in clear": ["any.example", "chat", "", "text", true],
	}
	denied := e2ee.deny with data.peers as peers with data.e2ee as {} with input as written(remote, type, method, class)
	(count(denied) == 0) == allowed
}

# What a server says with an error is no message, but what is quoted with it is.
test_errors[note] if {
	some note, [kind, payloads, allowed] in {
		"why it did not arrive": ["message", ["jabber:server|error"], true],
		"what did not arrive": ["message", ["jabber:server|body", "jabber:server|error"], false],
		"words that are no error's": ["message", ["jabber:server|subject", "jabber:server|error"], false],
		"words alone": ["message", ["urn:xmpp:forward:0|forwarded"], false],
		"why there is no answer": ["iq", ["jabber:server|error"], true],
	}
	denied := e2ee.deny with data.peers as peers with data.e2ee as {} with input as {"remote": {"domain": "sealed.example"}, "stanza": {"kind": kind, "type": "error", "e2ee": "", "class": ["text"], "payloads": payloads}}
	(count(denied) == 0) == allowed
}

test_other_kinds[note] if {
	some note, [kind, type, class, allowed] in {
		"an offer of a file": ["iq", "set", "file", false],
		"bytes of a file": ["iq", "set", "file.inband", false],
		"a slot for an upload": ["iq", "get", "file", false],
		"a picture": ["iq", "result", "file", false],
		"a text": ["iq", "set", "text", false],
		"a call": ["iq", "set", "call.audio", true],
		"keys": ["iq", "result", "pubsub", true],
		"a status": ["presence", "", "text", true],
		"a file with a status": ["presence", "", "file.inband", false],
	}
	denied := e2ee.deny with data.peers as peers with data.e2ee as {} with input as sent(kind, "sealed.example", type, "", class)
	(count(denied) == 0) == allowed
}

test_default if {
	count(e2ee.deny) == 1 with data.peers as peers with data.e2ee as {"default": "required"} with input as written("any.example", "chat", "", "text")
}

test_faults if {
	e2ee.faults == {"data.e2ee.require: there is default", "data.e2ee.default must be any, required or forbidden", `data.peers["x.example"].e2ee is true, must be any, required or forbidden`} with data.e2ee as {"require": true, "default": "yes"} with data.peers as {"x.example": {"e2ee": true}, "y.example": {}}
}
