# Who writes first: strangers may answer, and not begin.
package sallyport.ready.initiative

import data.sallyport.peer

# terms is "inside" or "both".
terms := peer.entry.initiative if {
	peer.entry.initiative
} else := object.get(data.initiative, "default", "inside")

deny contains {
	"rule": "initiative",
	"reason": sprintf("nobody of ours has written to that address, and %s may not begin", [input.remote.domain]),
	"condition": "service-unavailable",
	"message": "",
} if {
	terms == "inside"
	input.direction == "in"
	begins
	not input.contact
}

# Presence that is sent to one address is a text as well, by its status, and tells whether there is such an address. Errors are answers, and
# whoever gets one has written before.
begins if input.stanza.kind in {"message", "presence"}

begins if {
	input.stanza.kind == "iq"
	input.stanza.type in {"get", "set"}
	input.to.local != "" # the server itself may be asked
}

faults contains sprintf("data.initiative.%s: there is default", [name]) if {
	some name, _ in data.initiative
	name != "default"
}

faults contains "data.initiative.default must be inside or both" if not object.get(data.initiative, "default", "inside") in {"inside", "both"}

faults contains sprintf("data.peers[%q].initiative is %s, must be inside or both", [name, json.marshal(value)]) if {
	some name, entry in data.peers
	some value in [entry.initiative]
	not value in {"inside", "both"}
}
