package sallyport.ready.calls_test

import data.sallyport.ready.calls

offered(direction, remote, classes) := {"direction": direction, "remote": {"domain": remote}, "stanza": {"class": classes}}

peers := {"voice.example": {"calls": "audio"}, "all.example": {"calls": "video"}, "none.example": {}}

test_who_may[note] if {
	some note, [remote, classes, allowed] in {
		"nobody by default": ["none.example", ["call.audio", "call.control"], false],
		"not even to steer": ["none.example", ["call.control"], false],
		"text": ["none.example", ["text"], true],
		"sound": ["voice.example", ["call.audio", "call.control"], true],
		"pictures": ["voice.example", ["call.audio", "call.control", "call.video"], false],
		"all": ["all.example", ["call.audio", "call.control", "call.video"], true],
	}
	every direction in ["in", "out"] {
		denied := calls.deny with data.peers as peers with data.calls as {} with input as offered(direction, remote, classes)
		(count(denied) == 0) == allowed
	}
}

test_candidates_are_stripped_on_the_way_out if {
	some class in ["call.audio", "file"]
	changed := calls.transform with data.calls as {} with input as offered("out", "all.example", [class])
	changed == {{"rule": "calls", "do": "strip-candidates"}}
}

test_candidates_stay[note] if {
	some note, [direction, class, documents] in {
		"on the way in": ["in", "call.audio", {}],
		"of what is no call": ["out", "text", {}],
		"where that is wanted": ["out", "call.audio", {"strip_candidates": false}],
	}
	calls.transform == set() with data.calls as documents with input as offered(direction, "all.example", [class])
}

test_faults if {
	calls.faults == {
		"data.calls.video: there are default and strip_candidates", "data.calls.default must be none, audio or video",
		"data.calls.strip_candidates must be true or false", `data.peers["x.example"].calls is true, must be none, audio or video`,
	} with data.calls as {"video": true, "default": "yes", "strip_candidates": "no"} with data.peers as {"x.example": {"calls": true}, "y.example": {}}
}
