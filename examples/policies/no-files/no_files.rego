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
	some payload in input.stanza.payloads
	payload in carriers
}

# What stands first in a stanza that offers or carries a file. A Jingle session may be a call as well: what it is about stands
# deeper than a rule can see.
carriers := {
	"http://jabber.org/protocol/si|si",
	"http://jabber.org/protocol/ibb|open",
	"http://jabber.org/protocol/ibb|data",
	"http://jabber.org/protocol/bytestreams|query",
	"jabber:x:oob|x",
	"jabber:iq:oob|query",
	"urn:xmpp:jingle:1|jingle",
	"urn:xmpp:sfs:0|file-sharing",
	"urn:xmpp:bob|data",
}
