# Encryption from end to end: required, forbidden, or as people like.
package sallyport.ready.e2ee

import data.sallyport.peer

# terms is "any", "required" or "forbidden".
terms := peer.entry.e2ee if {
	peer.entry.e2ee
} else := object.get(data.e2ee, "default", "any")

deny contains {
	"rule": "e2ee",
	"reason": sprintf("what is written to or by %s must be encrypted from end to end", [input.remote.domain]),
	"message": "Messages with this domain must be encrypted from end to end (OMEMO or OpenPGP).",
} if {
	terms == "required"
	readable
}

deny contains {
	"rule": "e2ee",
	"reason": sprintf("what is written to or by %s must not be encrypted from end to end", [input.remote.domain]),
	"message": "Messages with this domain must not be encrypted from end to end.",
} if {
	terms == "forbidden"
	some class in input.stanza.class
	startswith(class, "e2ee.")
}

# What can be read is a text, a file or its address, unless there is a cipher and nothing beside it. Errors are held to it too: those that
# quote what was let through quote a cipher. What servers say beside the condition is no message.
readable if {
	input.stanza.e2ee == ""
	some class in input.stanza.class
	class in {"file", "file.inband"}
}

# The text of a presence says how somebody is, and is data.presence's affair.
readable if {
	input.stanza.e2ee == ""
	"text" in input.stanza.class
	input.stanza.kind in {"message", "iq"}
	not explained
}

explained if {
	input.stanza.type == "error"
	input.stanza.payloads == ["jabber:server|error"]
}

choices := {"any", "required", "forbidden"}

faults contains sprintf("data.e2ee.%s: there is default", [name]) if {
	some name, _ in data.e2ee
	name != "default"
}

faults contains "data.e2ee.default must be any, required or forbidden" if not object.get(data.e2ee, "default", "any") in choices

faults contains sprintf("data.peers[%q].e2ee is %s, must be any, required or forbidden", [name, json.marshal(value)]) if {
	some name, entry in data.peers
	some value in [entry.e2ee]
	not value in choices
}
