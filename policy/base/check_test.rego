package sallyport.check_test

import data.sallyport.check

good := {
	"federation": "listed",
	"peers": {
		"default": {"channel": "tls", "proof": "dialback", "tls_min": "1.3"},
		"partner.example": {"proof": "pin", "pins": ["sha256/AAAA"], "until": "2027-06-30", "files": true},
		"*.partner.example": {"deny": true, "until": "2027-06-30T12:00:00Z"},
		"müller.example": {},
	},
	"internal": {
		"domains": {"intranet.corp.example": true, "*.lab.corp.example": {}},
		"users": {"ceo@corp.example": true},
		"rooms": {"board@conference.corp.example": true},
		"groups": {"board": true, "gone": false},
	},
	"groups": {"board": {"ceo@corp.example": {}}},
	"gateways": {"irc.corp.example": true},
}

# faults of what is good, with one path set to something else.
faults(path, value) := found if {
	documents := json.patch(good, [{"op": "add", "path": path, "value": value}])
	found := check.faults with data.federation as documents.federation
		with data.peers as documents.peers
		with data.internal as documents.internal
		with data.groups as documents.groups
		with data.gateways as documents.gateways
		with data.sallyport.ready as {}
}

test_good if faults("/federation", "open") == set()

test_nothing_given if check.faults == set() with data.sallyport.ready as {}

test_fault[text] if {
	some text, [path, value] in {
		`data.federation is "Listed", must be listed or open`: ["/federation", "Listed"],
		"data.peers must be an object, key by key": ["/peers", ["partner.example"]],
		"data.internal must be an object, key by key": ["/internal", "none"],
		`data.peers["partner.example"] must be an object; {} asks for no more than the default`: ["/peers/partner.example", null],
		`data.peers["partner.example"].channel is "TLS", must be one of ["plaintext","tls"]`: ["/peers/partner.example/channel", "TLS"],
		`data.peers["default"].tls_min is 1.3, must be one of ["1.2","1.3"]`: ["/peers/default/tls_min", 1.3],
		`data.peers["partner.example"].deny is "no", must be one of [true,false]`: ["/peers/partner.example/deny", "no"],
		`data.peers["default"].until would hold for everyone; name the peer`: ["/peers/default/until", "2027-06-30"],
		`data.peers["partner.example"].pins must be a list of "sha256/…"`: ["/peers/partner.example/pins", ["AAAA"]],
		`data.peers["müller.example"] asks for proof pin and names no pins`: ["/peers/müller.example/proof", "pin"],
		`data.peers["müller.example"].channel is plaintext, which needs its last day; for example: until: 2027-06-30`: ["/peers/müller.example/channel", "plaintext"],
		`data.peers["default"].channel is plaintext, which needs its last day; for example: until: 2027-06-30`: ["/peers/default/channel", "plaintext"],
		"data.internal.user: nothing enforces that name; there are domains, users, rooms, groups and labels": ["/internal/user", {}],
		"data.internal.users must be an object, key by key": ["/internal/users", ["ceo@corp.example"]],
		"data.internal.groups: there is no group bord in data.groups": ["/internal/groups/bord", true],
		`data.groups["staff"] must be an object, keyed by address`: ["/groups/staff", ["a@corp.example"]],
	}
	faults(path, value) == {text}
}

test_ready_made_policies_find_faults_of_theirs if {
	check.faults == {"data.x is wrong"} with data.sallyport.ready as {"x": {"faults": {"data.x is wrong"}}}
}

test_groups_must_be_an_object if "data.groups must be an object, key by key" in faults("/groups", [])

test_gateways_must_be_an_object if "data.gateways must be an object, key by key" in faults("/gateways", true)

test_a_gateway_is_there_or_not if faults("/gateways/icq.corp.example", "no") == {`data.gateways["icq.corp.example"] is "no", must be true or false`}

test_until_that_is_none[until] if {
	some until in [
		20270630, true, null, "tomorrow", "2027-13-01", "2027-06-31", "2027-02-29", "2027-00-10", "2027-01-00", "2027-01-32",
		"2027-06-30 ", "2027-6-30", "2027-06-30T12:00:00+02:00", "2027-06-30T24:00:00Z",
	]
	count(faults("/peers/partner.example/until", until)) == 1
}

test_until_that_is_one[until] if {
	some until in ["2028-02-29", "2027-02-28", "2027-12-31", "2027-09-30", "2027-06-30T23:59:59Z"]
	faults("/peers/partner.example/until", until) == set()
}
