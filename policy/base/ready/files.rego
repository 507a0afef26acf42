# Files: who may send them, and receive them.
package sallyport.ready.files

import data.sallyport.peer

# right is "none", "in", "out" or "both".
right := peer.entry.files if {
	peer.entry.files
} else := object.get(data.files, "default", "none")

deny contains {
	"rule": "files",
	"reason": sprintf("files may go %s with %s", [{"none": "nowhere", "in": "in only", "out": "out only"}[right], input.remote.domain]),
	"message": "Files are not exchanged with this domain.",
} if {
	carries
	not right in {"both", input.direction}
}

carries if "file" in input.stanza.class

carries if "file.inband" in input.stanza.class

directions := {"none", "in", "out", "both"}

faults contains sprintf("data.files.%s: there is default", [name]) if {
	some name, _ in data.files
	name != "default"
}

faults contains sprintf("data.files.default is %s, must be none, in, out or both", [json.marshal(value)]) if {
	some value in [data.files["default"]]
	not value in directions
}

faults contains sprintf("data.peers[%q].files is %s, must be none, in, out or both", [name, json.marshal(entry.files)]) if {
	some name, entry in data.peers
	not entry.files in directions
	some _ in [entry.files]
}
