# Hours: when the house talks with others. Outside of them messages and calls are refused.
package sallyport.ready.hours

# now is the time in the house's zone. Whoever reads the clock is asked anew for each stanza.
now := time.format([time.now_ns(), zone, "15:04"])

zone := object.get(data.hours, "zone", "UTC")

open if {
	time.weekday([time.now_ns(), zone]) in object.get(data.hours, "days", weekdays)
	data.hours.from <= now
	now < data.hours.to
}

weekdays := ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]

deny contains {
	"rule": "hours",
	"reason": sprintf("it is not between %s and %s on a day of data.hours", [data.hours.from, data.hours.to]),
	"message": sprintf("Messages are exchanged with other domains from %s to %s.", [data.hours.from, data.hours.to]),
} if {
	begins
	not excepted
	not open
}

excepted if {
	some name in sallyport.names(input.remote.domain)
	data.hours.peers[name]
}

begins if {
	input.stanza.kind == "message"
	input.stanza.type != "error"
}

begins if {
	input.stanza.kind == "iq"
	input.stanza.type == "set"
	some class in input.stanza.class
	class in {"call.audio", "call.video", "call.control", "file", "file.inband"}
}

faults contains sprintf("data.hours.%s: there are zone, days, from, to and peers", [name]) if {
	some name, _ in data.hours
	not name in {"zone", "days", "from", "to", "peers"}
}

faults contains sprintf("data.hours.%s must be a time, as \"08:00\"", [key]) if {
	some key in ["from", "to"]
	not regex.match(`^(([01]\d|2[0-3]):[0-5]\d|24:00)$`, object.get(data.hours, key, ""))
}

faults contains sprintf("data.hours.days: %s is no day", [json.marshal(day)]) if {
	some day in data.hours.days
	not day in array.concat(weekdays, ["Saturday", "Sunday"])
}

faults contains sprintf("data.hours.zone: %s is not known here", [json.marshal(zone)]) if not time.format([0, zone, "15:04"])

faults contains sprintf("data.hours.from is %s and to is %s: from must be before to, on the same day", [data.hours.from, data.hours.to]) if {
	data.hours.from >= data.hours.to
}

faults contains sprintf("data.hours.peers is %s, must be an object of domains, each true or false", [json.marshal(peers)]) if {
	some peers in [data.hours.peers]
	not exceptions(peers)
}

exceptions(peers) if {
	is_object(peers)
	every on in peers {
		is_boolean(on)
	}
}

faults contains sprintf("data.hours.days is %s, must be a list of days", [json.marshal(days)]) if {
	some days in [data.hours.days]
	not is_array(days)
}
