package sallyport.ready.dlp_test

import data.sallyport.ready.dlp

said(direction, text) := {"direction": direction, "stanza": {"text": text}}

documents := {"officer": "officer@corp.example", "audit": "sealed", "finders": {
	"cards": {"kind": "card", "do": "mask", "with": "[card]"},
	"accounts": {"kind": "iban"},
	"project": {"words": ["Blue Heron", "c++"], "do": "notify", "direction": "both"},
	"tickets": {"pattern": `\bTCK-\d{4}\b`, "min": 2},
}}

test_found[text] if {
	some text, finders in {
		"pay 4111 1111 1111 1111": {"cards": 1},
		"4111-1111-1111-1111 5500000000000004": {"cards": 2},
		"pay 4111 1111 1111 1112": {},
		"phone 0123456789": {},
		"DE89 3704 0044 0532 0130 00": {"accounts": 1},
		"GB82WEST12345698765432": {"accounts": 1},
		"GB82WEST12345698765433": {},
		"4111 1111 1111 1111 12/27": {"cards": 1},
		"1 4111.1111.1111.1111 x": {"cards": 1},
		"4111  1111  1111  1111": {"cards": 1},
		"x4111111111111111_": {"cards": 1},
		"٤١١١١١١١١١١١١١١١": {"cards": 1},
		"de89370400440532013000": {"accounts": 1},
		"DE89 3704 0044 0532 0130 00 PAY NOW": {"accounts": 1},
		"aGB12DE89.3704-0044 0532 0130 00BIC": {"accounts": 1},
		"the blue heron flies": {"project": 1},
		"blue herons": {},
		"TCK-0001": {},
		"TCK-0001 TCK-0002": {"tickets": 2},
	}
	got := dlp.found with data.dlp as documents with input as said("out", text)
	got == finders
}

test_direction if {
	dlp.found == {"project": 1} with data.dlp as documents with input as said("in", "blue heron 4111111111111111")
}

test_what_is_done if {
	every pair in [["4111111111111111", 0], ["GB82WEST12345698765432", 1]] {
		denied := dlp.deny with data.dlp as documents with input as said("out", pair[0])
		count(denied) == pair[1]
	}
	changes := dlp.transform with data.dlp as documents with input as said("out", "4111111111111111")
	{change.with | some change in changes} == {"[card]"}
	notices := dlp.notify with data.dlp as documents with input as said("out", "blue heron")
	notices == {{"rule": "dlp", "to": "officer@corp.example", "text": "project: 1"}}
	levels := dlp.audit with data.dlp as documents with input as said("out", "blue heron")
	levels == {{"rule": "dlp", "level": "sealed"}}
}

test_numbers_are_masked_as_they_stand if {
	some change in dlp.transform with data.dlp as documents with input as said("out", "4111 1111 1111 1111 12/27")
	change.pattern == "4111 1111 1111 1111"
}

test_words_are_masked_by_their_pattern if {
	finders := {"project": {"words": ["Red"], "do": "mask"}}
	some change in dlp.transform with data.dlp.finders as finders with input as said("out", "red")
	change.pattern == `(?i)(?:\bRed\b)`
}

test_nothing_of_the_text_is_told if {
	some denied in dlp.deny with data.dlp as documents with input as said("out", "GB82WEST12345698765432")
	not contains(json.marshal(denied), "WEST")
}

test_faults if {
	dlp.faults == set() with data.dlp as documents
	dlp.faults == {
		"data.dlp.finder: there are finders, officer and audit",
		`data.dlp.finders["none"] takes one of kind, pattern and words`,
		`data.dlp.finders["bad"]: pattern is "(", must be a pattern of RE2`,
		`data.dlp.finders["kind"]: kind is "cards", must be card or iban`,
		`data.dlp.finders["kind"]: minimum is 1, must be left out`,
		`data.dlp.finders["words"]: words is [], must be a list of words`,
		`data.dlp.finders["words"]: min is "1", must be a number`,
	} with data.dlp as {"finder": {}, "finders": {"none": {}, "bad": {"pattern": "("}, "kind": {"kind": "cards", "minimum": 1}, "words": {"words": [], "min": "1"}}}
	dlp.faults == {`data.dlp.finders["a"]: with is itself something that it finds`, `data.dlp.finders["b"]: with is itself something that it finds`} with data.dlp as {"finders": {
		"a": {"words": ["removed"], "do": "mask"}, "b": {"pattern": "x*", "do": "mask", "with": ""},
		"c": {"words": ["removed"]}, "d": {"words": ["removed"], "do": "mask", "with": "#"},
	}}
}

# What means something in a pattern stands in a number for itself.
test_signs_in_numbers_are_quoted if {
	changes := dlp.transform with data.dlp as {"finders": {"cards": {"kind": "card", "do": "mask"}}}
		with input as {"direction": "out", "stanza": {"text": "4111.1111.1111.1111 and 5555|5555|5555|4444"}}
	{c.pattern | some c in changes} == {`4111\.1111\.1111\.1111|5555\|5555\|5555\|4444`}
}

# What is typed does not leave while it is typed, where there is a finder for its direction.
test_nothing_is_told_while_it_is_typed if {
	typing := {"direction": "out", "stanza": {"text": "4111", "class": ["rtt", "text"], "payloads": ["urn:xmpp:rtt:1|rtt"]}}
	dlp.transform == {{"rule": "dlp", "do": "strip", "payloads": ["urn:xmpp:rtt:0", "urn:xmpp:rtt:1"], "order": -1}} with data.dlp as documents with input as typing
	dlp.transform == set() with data.dlp as {"finders": {"cards": {"kind": "card", "direction": "in"}}} with input as typing
}
