package sallyport.ready.files_test

import data.sallyport.ready.files

sent(direction, remote, class) := {"direction": direction, "remote": {"domain": remote}, "stanza": {"class": [class]}}

peers := {"courier.example": {"files": "both"}, "inbox.example": {"files": "in"}, "plain.example": {}}

test_who_may[note] if {
	some note, [direction, remote, class, allowed] in {
		"nobody by default": ["out", "plain.example", "file", false],
		"nobody by default, in band": ["in", "plain.example", "file.inband", false],
		"text is no file": ["out", "plain.example", "text", true],
		"both": ["out", "courier.example", "file", true],
		"both, in": ["in", "courier.example", "file.inband", true],
		"in only": ["in", "inbox.example", "file", true],
		"in only, out": ["out", "inbox.example", "file", false],
	}
	denied := files.deny with data.peers as peers with data.files as {} with input as sent(direction, remote, class)
	(count(denied) == 0) == allowed
}

test_default if {
	files.deny == set() with data.peers as peers with data.files as {"default": "out"} with input as sent("out", "plain.example", "file")
	count(files.deny) == 1 with data.peers as peers with data.files as {"default": "out"} with input as sent("in", "plain.example", "file")
}

test_faults if {
	files.faults == {
		"data.files.defult: there is default",
		`data.files.default is "yes", must be none, in, out or both`,
		`data.peers["x.example"].files is true, must be none, in, out or both`,
	} with data.files as {"default": "yes", "defult": "none"} with data.peers as {"x.example": {"files": true}, "y.example": {}}
}
