# Files leave the company only for the partners that data.peers marks with `files: true`. Whoever is refused is told so; a
# file sent to a group chat just does not arrive.
package sallyport.stanza

deny contains {
	"rule": "no-files",
	"reason": sprintf("%s may not be sent files", [input.remote.domain]),
	"condition": "not-allowed",
	"message": "Files are not sent to this domain.",
} if {
	sends_file
	input.stanza.type != "groupchat"
	not data.sallyport.peer.entry.files
}

deny contains {"rule": "no-files-in-rooms", "reason": "a file for a room", "effect": "drop"} if {
	sends_file
	input.stanza.type == "groupchat"
	not data.sallyport.peer.entry.files
}

sends_file if {
	input.direction == "out"
	some class in input.stanza.class
	class in {"file", "file.inband"}
}
