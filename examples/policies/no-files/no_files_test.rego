package sallyport.stanza_test

import data.sallyport.stanza

text := "jabber:server|body"

file := "jabber:x:oob|x"

crossing(remote, type, payloads) := {
	"direction": "out",
	"local": {"domain": "corp.example"},
	"remote": {"domain": remote},
	"from": {"bare": "juliet@corp.example"},
	"to": {"bare": concat("@", ["romeo", remote])},
	"stanza": {"type": type, "payloads": payloads},
}

test_text_passes if {
	stanza.decision.effect == "allow" with input as crossing("partner.example", "chat", [text])
}

test_files_stay[payload] if {
	some payload in [file, "http://jabber.org/protocol/ibb|open"]
	decision := stanza.decision with input as crossing("partner.example", "chat", [text, payload])
	decision.effect == "deny"
	decision.rule == "no-files"
}

test_room_is_not_answered if {
	decision := stanza.decision with input as crossing("partner.example", "groupchat", [file])
	decision.effect == "drop"
}

test_courier_takes_files[remote] if {
	some remote in ["courier.example", "eu.courier.example"]
	every type in ["chat", "groupchat"] {
		stanza.decision.effect == "allow" with input as crossing(remote, type, [file])
	}
}

test_files_may_come_in if {
	outward := crossing("partner.example", "chat", [file])
	inward := object.union(outward, {"direction": "in"})
	stanza.decision.effect == "allow" with input as inward
}
