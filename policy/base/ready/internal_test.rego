package sallyport.ready.mentions_test

import data.sallyport.ready.mentions

kept := {
	"domains": {"irc.corp.example": true, "*.lab.corp.example": true},
	"users": {"carol@corp.example": true},
	"rooms": {"board@conference.corp.example": true},
	"groups": {"works-council": true, "staff": false},
	"labels": {"SECRET": true},
}

groups := {"works-council": {"rep@corp.example": {}}, "staff": {"sam@corp.example": {}}}

naming(jids, label) := {"direction": "out", "stanza": {"jids": jids, "label": label}}

test_named[note] if {
	some note, [jids, label, rule] in {
		"user": [["carol@corp.example"], "", "internal-user"],
		"user, as a gateway escapes it": [[`carol\40corp.example@gateway.example`], "", "internal-user"],
		"user, as a gateway writes it": [["carol%corp.example@gateway.example"], "", "internal-user"],
		"room": [["board@conference.corp.example"], "", "internal-room"],
		"group": [["rep@corp.example"], "", "internal-group"],
		"domain": [["irc.corp.example"], "", "internal-domain"],
		"somebody there": [["#ops%irc.example@irc.corp.example"], "", "internal-domain"],
		"below a wildcard": [["x@a.lab.corp.example"], "", "internal-domain"],
		"label": [[], "SECRET", "internal-label"],
		"one label of two": [[], "PUBLIC\nSECRET", "internal-label"],
	}
	denied := mentions.deny with data.internal as kept with data.groups as groups with input as naming(jids, label)
	{member.rule | some member in denied} == {rule}
	every member in denied {
		member.condition == "forbidden"
	}
}

test_others_may_be_named if {
	mentions.deny == set() with data.internal as kept with data.groups as groups with input as naming(["sam@corp.example", "x@partner.example"], "PUBLIC")
}
