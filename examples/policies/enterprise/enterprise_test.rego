package enterprise_test

import data.sallyport.link
import data.sallyport.stanza

sent(from, to, class) := {
	"direction": "out",
	"local": {"domain": split(from, "@")[1]},
	"remote": {"domain": split(to, "@")[1]},
	"from": {"bare": from, "local": split(from, "@")[0]},
	"to": {"bare": to, "local": split(to, "@")[0]},
	"stanza": {"kind": "message", "type": "chat", "class": class, "label": "", "e2ee": "", "jids": [], "payloads": []},
}

test_day[note] if {
	some note, [from, to, class, rule] in {
		"sales to a partner": ["sam@corp.example", "alan@alpha.example", ["text"], "allow"],
		"research to its partner": ["rhea@corp.example", "alan@alpha.example", ["text"], "allow"],
		"research elsewhere": ["rhea@corp.example", "greg@gamma.example", ["text"], "rights"],
		"an officer": ["carol@corp.example", "alan@alpha.example", ["text"], "internal-group"],
		"a call": ["sam@corp.example", "alan@alpha.example", ["call.audio", "call.control"], "allow"],
		"a call with pictures": ["sam@corp.example", "alan@alpha.example", ["call.audio", "call.video"], "calls"],
		"a file": ["sam@corp.example", "alan@alpha.example", ["file"], "files"],
		"in clear to the lawyers": ["sam@corp.example", "bea@beta.example", ["text"], "e2ee"],
		"somebody else": ["sam@corp.example", "rik@rival.example", ["text"], "peer-not-listed"],
	}
	decision := stanza.decision with input as sent(from, to, class)
	decision.rule == rule
}

test_plaintext_for_one_alone if {
	old := link.decision with input as {"direction": "out", "local": {"domain": "corp.example"}, "remote": {"domain": "old.example"}}
	old.require.channel == "plaintext"
	alpha := link.decision with input as {"direction": "out", "local": {"domain": "corp.example"}, "remote": {"domain": "alpha.example"}}
	alpha.require.channel == "tls"
}
