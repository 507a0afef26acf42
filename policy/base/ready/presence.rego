# How much of presence crosses: all, whether somebody is there, or nothing.
package sallyport.ready.presence

import data.sallyport.peer

# terms is "full", "folded" or "none".
terms := peer.entry.presence if {
	peer.entry.presence
} else := object.get(data.presence, "default", "folded")

within if object.get(data.presence, "direction", "out") in {"both", input.direction}

transform contains {"rule": "presence", "do": "fold-presence"} if {
	within
	terms in {"folded", "none"}
	input.stanza.kind == "presence"
}

# Rooms work by presence: who is let into one is seen there.
deny contains {"rule": "presence", "reason": sprintf("presence is not shown to or by %s", [input.remote.domain]), "effect": "drop"} if {
	within
	terms == "none"
	input.stanza.kind == "presence"
	not "muc" in input.stanza.class
}

faults contains sprintf("data.presence.%s: there are default and direction", [name]) if {
	some name, _ in data.presence
	not name in {"default", "direction"}
}

faults contains "data.presence.default must be full, folded or none" if not object.get(data.presence, "default", "folded") in {"full", "folded", "none"}

faults contains "data.presence.direction must be in, out or both" if not object.get(data.presence, "direction", "out") in {"in", "out", "both"}

faults contains sprintf("data.peers[%q].presence is %s, must be full, folded or none", [name, json.marshal(value)]) if {
	some name, entry in data.peers
	some value in [entry.presence]
	not value in {"full", "folded", "none"}
}
