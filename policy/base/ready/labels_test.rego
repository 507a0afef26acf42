package sallyport.ready.labels_test

import data.sallyport.ready.labels

documents := {"ranks": {"PUBLIC": 0, "INTERNAL": 1, "SECRET": 2}, "default": "INTERNAL", "clearance": "INTERNAL", "mark": "INTERNAL"}

peers := {"cleared.example": {"clearance": "SECRET"}, "public.example": {"clearance": "PUBLIC"}, "any.example": {}}

sent(remote, kind, label) := {"direction": "out", "remote": {"domain": remote}, "stanza": {"kind": kind, "type": "chat", "label": label}}

test_clearance[note] if {
	some note, [remote, kind, label, allowed] in {
		"below": ["cleared.example", "message", "INTERNAL", true],
		"at": ["cleared.example", "message", "SECRET", true],
		"above": ["any.example", "message", "SECRET", false],
		"the peers' default": ["any.example", "message", "INTERNAL", true],
		"no label is the default": ["any.example", "message", "", true],
		"which may be too high": ["public.example", "message", "", false],
		"presence is not labelled": ["public.example", "presence", "", true],
		"an iq that is": ["public.example", "iq", "SECRET", false],
		"a label of no rank": ["cleared.example", "message", "COSMIC", false],
		"two labels": ["cleared.example", "message", "PUBLIC\nSECRET", true],
		"the higher of two": ["any.example", "message", "PUBLIC\nSECRET", false],
		"two, one of no rank": ["cleared.example", "message", "PUBLIC\nCOSMIC", false],
		"two, one that shows nothing": ["cleared.example", "message", "PUBLIC\n?", false],
		"a label of what is forwarded does not lower the default": ["public.example", "message", "\nPUBLIC", false],
		"nor takes it away": ["any.example", "message", "\nPUBLIC", true],
		"and may be higher": ["any.example", "message", "\nSECRET", false],
		"a label that shows nothing": ["cleared.example", "message", "?", false],
	}
	denied := labels.deny with data.peers as peers with data.labels as documents with input as sent(remote, kind, label)
	(count(denied) == 0) == allowed
}

test_lowest_where_nothing_is_said if {
	labels.deny == set() with data.peers as peers with data.labels as {"ranks": {"A": 1, "B": 2}} with input as sent("any.example", "message", "A")
	count(labels.deny) == 1 with data.peers as peers with data.labels as {"ranks": {"A": 1, "B": 2}} with input as sent("any.example", "message", "B")
}

test_nothing_of_the_label_is_told if {
	some member in labels.deny with data.peers as peers with data.labels as documents with input as sent("any.example", "message", "SECRET")
	not contains(json.marshal(member), "SECRET")
}

test_mark if {
	labels.transform == {{"rule": "labels", "do": "label", "text": "INTERNAL", "order": 10}} with data.labels as documents with input as sent("any.example", "message", "")
	count(labels.transform) == 1 with data.labels as documents with input as sent("any.example", "message", "\nPUBLIC")
	labels.transform == set() with data.labels as documents with input as sent("any.example", "message", "PUBLIC")
	labels.transform == set() with data.labels as documents with input as sent("any.example", "presence", "")
}

test_faults if {
	labels.faults == {
		"data.labels.rank: there are ranks, default, clearance and mark",
		`data.labels.default is "X", which is not in data.labels.ranks`,
		`data.peers["x.example"].clearance is "Y", which is not in data.labels.ranks`,
	} with data.labels as {"rank": 1, "ranks": {"A": 0}, "default": "X", "clearance": "A"} with data.peers as {"x.example": {"clearance": "Y"}}
	"data.labels.ranks must give each label a number" in labels.faults with data.labels as {"ranks": {"A": "1"}}
}
