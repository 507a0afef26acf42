# Calls: with whom, and whether they may have pictures. Addresses of the house's own network are taken out of what goes out.
package sallyport.ready.calls

import data.sallyport.peer

# right is "none", "audio" or "video".
right := peer.entry.calls if {
	peer.entry.calls
} else := object.get(data.calls, "default", "none")

deny contains {
	"rule": "calls",
	"reason": sprintf("calls with %s: %s", [input.remote.domain, {"none": "none", "audio": "sound only"}[right]]),
	"message": {"none": "There are no calls with this domain.", "audio": "Calls with this domain are without pictures."}[right],
} if {
	beyond
}

beyond if {
	right == "none"
	some class in input.stanza.class
	startswith(class, "call.")
}

beyond if {
	right == "audio"
	"call.video" in input.stanza.class
}

transform contains {"rule": "calls", "do": "strip-candidates"} if {
	input.direction == "out"
	some class in input.stanza.class
	class in {"call.audio", "call.video", "call.control", "file"}
	object.get(data.calls, "strip_candidates", true)
}

rights := {"none", "audio", "video"}

faults contains sprintf("data.calls.%s: there are default and strip_candidates", [name]) if {
	some name, _ in data.calls
	not name in {"default", "strip_candidates"}
}

faults contains "data.calls.default must be none, audio or video" if not object.get(data.calls, "default", "none") in rights

faults contains "data.calls.strip_candidates must be true or false" if not is_boolean(object.get(data.calls, "strip_candidates", true))

faults contains sprintf("data.peers[%q].calls is %s, must be none, audio or video", [name, json.marshal(entry.calls)]) if {
	some name, entry in data.peers
	some right in [entry.calls]
	not right in rights
}
