package sallyport.ready.hours_test

import data.sallyport.ready.hours

documents := {"zone": "Europe/Berlin", "from": "08:00", "to": "18:00", "peers": {"always.example": true, "*.always.example": true}}

message(remote, type) := {"remote": {"domain": remote}, "stanza": {"kind": "message", "type": type}}

at(moment) := time.parse_rfc3339_ns(moment)

test_open[moment] if {
	some moment, allowed in {
		"2026-11-26T09:00:00+01:00": true,
		"2026-11-26T08:00:00+01:00": true,
		"2026-11-26T07:59:59+01:00": false,
		"2026-11-26T18:00:00+01:00": false,
		"2026-11-28T12:00:00+01:00": false,
		"2026-07-01T07:30:00Z": true,
	}
	denied := hours.deny with data.hours as documents with time.now_ns as at(moment) with input as message("partner.example", "chat")
	(count(denied) == 0) == allowed
}

test_exceptions if {
	night := at("2026-11-26T23:00:00+01:00")
	hours.deny == set() with data.hours as documents with time.now_ns as night with input as message("always.example", "chat")
	hours.deny == set() with data.hours as documents with time.now_ns as night with input as message("a.always.example", "chat")
	hours.deny == set() with data.hours as documents with time.now_ns as night with input as message("partner.example", "error")
	hours.deny == set() with data.hours as documents with time.now_ns as night with input as {"remote": {"domain": "partner.example"}, "stanza": {"kind": "presence"}}
}

test_zone_is_utc_where_none_is_given if {
	hours.open with data.hours as {"from": "08:00", "to": "18:00"} with time.now_ns as at("2026-11-26T08:00:00Z")
}

test_faults if {
	hours.faults == set() with data.hours as documents
	hours.faults == {
		"data.hours.form: there are zone, days, from, to and peers", `data.hours.from must be a time, as "08:00"`,
		`data.hours.to must be a time, as "08:00"`, `data.hours.days: "Freitag" is no day`,
	} with data.hours as {"form": "08:00", "to": "25:00", "days": ["Freitag"]}
}

# Outside of tests an unknown zone leaves time.format undefined.
never(_) := "00:00" if false

test_shape if {
	hours.faults == {"data.hours.from is 22:00 and to is 06:00: from must be before to, on the same day"} with data.hours as {"from": "22:00", "to": "06:00"}
	hours.faults == {`data.hours.to must be a time, as "08:00"`} with data.hours as {"from": "00:00", "to": "24:59"}
	hours.faults == {
		`data.hours.peers is ["x.example"], must be an object of domains, each true or false`,
		`data.hours.days is {}, must be a list of days`,
	} with data.hours as {"from": "00:00", "to": "24:00", "peers": ["x.example"], "days": {}}
}

test_calls_and_files_too[class] if {
	some class in ["call.audio", "file"]
	offer := {"remote": {"domain": "partner.example"}, "stanza": {"kind": "iq", "type": "set", "class": [class]}}
	count(hours.deny) == 1 with data.hours as documents with time.now_ns as at("2026-11-26T23:00:00+01:00") with input as offer
}

test_unknown_zone if {
	hours.faults == {`data.hours.zone: "Mars" is not known here`} with data.hours as object.union(documents, {"zone": "Mars"}) with time.format as never
}
