# Faults in the data documents, asked for once, when policy is loaded: any of them refuses the load. What nothing would
# enforce is a fault too, for a misspelt name must not look like a rule. Addresses and domains are looked at elsewhere (policy/spelling.go).
package sallyport.check

faults contains sprintf("data.federation is %s, must be listed or open", [json.marshal(mode)]) if {
	some mode in [data.federation]
	not mode in {"listed", "open"}
}

faults contains "data.peers must be an object, key by key" if wrong(data.peers)

faults contains "data.groups must be an object, key by key" if wrong(data.groups)

faults contains "data.internal must be an object, key by key" if wrong(data.internal)

faults contains "data.gateways must be an object, key by key" if wrong(data.gateways)

wrong(document) if not is_object(document)

faults contains sprintf("data.gateways[%q] is %s, must be true or false", [name, json.marshal(value)]) if {
	some name, value in data.gateways
	not is_boolean(value)
}

# The rest looks at the documents that are objects.

peers := data.peers if is_object(data.peers)

groups := data.groups if is_object(data.groups)

kept := data.internal if is_object(data.internal)

# Each ready-made policy knows its own document.
faults contains fault if some fault in data.sallyport.ready[_].faults

# Peers.

faults contains sprintf("data.peers[%q] must be an object; {} asks for no more than the default", [name]) if {
	some name, entry in peers
	not is_object(entry)
}

choices := {
	"channel": ["plaintext", "tls"],
	"proof": ["dialback", "pkix", "dane", "posh", "pin"],
	"tls_min": ["1.2", "1.3"],
	"deny": [true, false],
	"revocation": ["soft", "hard"],
	"ratchet": [true, false],
}

faults contains sprintf("data.peers[%q].%s is %s, must be one of %s", [name, key, json.marshal(value), json.marshal(choices[key])]) if {
	some name, entry in peers
	some key, value in entry
	not value in choices[key]
	choices[key]
}

faults contains sprintf("data.peers[%q].until is %s, must be a day (2027-06-30) or a time in UTC (2027-06-30T12:00:00Z)", [name, json.marshal(until)]) if {
	some name, entry in peers
	some until in [entry.until]
	not dated(until)
}

dated(until) if {
	is_string(until)
	regex.match(`^\d{4}-\d\d-\d\d(T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ)?$`, until)
	regex.match(`^....-(0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|^....-(0[469]|11)-(0[1-9]|[12]\d|30)|^....-02-(0[1-9]|1\d|2[0-8])|^..(0[48]|[2468][048]|[13579][26])-02-29`, until)
}

faults contains sprintf("data.peers[\"default\"].%s would hold for everyone; name the peer", [key]) if {
	some key, _ in peers["default"]
	key in {"deny", "pins", "until"}
}

faults contains sprintf("data.peers[%q].channel is plaintext, which needs its last day; for example: until: 2027-06-30", [name]) if {
	some name, entry in peers
	entry.channel == "plaintext"
	not entry.until
}

faults contains sprintf("data.peers[%q].pins must be a list of \"sha256/…\"", [name]) if {
	some name, entry in peers
	some pins in [entry.pins]
	not pin_list(pins)
}

faults contains sprintf("data.peers[%q] asks for proof pin and names no pins", [name]) if {
	some name, entry in peers
	entry.proof == "pin"
	not entry.pins
}

pin_list(pins) if {
	is_array(pins)
	count(pins) > 0
	every pin in pins {
		is_string(pin)
		startswith(pin, "sha256/")
	}
}

# What stays inside.

faults contains sprintf("data.internal.%s: nothing enforces that name; there are domains, users, rooms, groups and labels", [name]) if {
	some name, _ in kept
	not name in {"domains", "users", "rooms", "groups", "labels"}
}

faults contains sprintf("data.internal.%s must be an object, key by key", [name]) if {
	some name, value in kept
	not is_object(value)
}

faults contains sprintf("data.internal.groups: there is no group %s in data.groups", [name]) if {
	some name, closed in kept.groups
	closed
	not groups[name]
}

faults contains sprintf("data.groups[%q] must be an object, keyed by address", [name]) if {
	some name, members in groups
	not is_object(members)
}
