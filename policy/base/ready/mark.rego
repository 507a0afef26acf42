# Marks: a first line that tells people that a message comes from, or goes, outside.
package sallyport.ready.mark

transform contains {"rule": "mark", "do": "first-line", "text": line, "order": 5} if {
	line := data.mark[input.direction]
	input.stanza.kind == "message"
	input.stanza.type != "error"
	input.stanza.e2ee != "otr" # whose cipher is the body; beside another one there is a hint at the most, which is marked too
	"text" in input.stanza.class
	not trusted
}

trusted if {
	some name in sallyport.names(input.remote.domain)
	data.mark.except[name]
}

faults contains sprintf("data.mark.%s: there are in, out and except", [name]) if {
	some name, _ in data.mark
	not name in {"in", "out", "except"}
}

faults contains sprintf("data.mark.%s must be a text", [way]) if {
	some way in ["in", "out"]
	some line in [data.mark[way]]
	not shown(line)
}

shown(line) if {
	is_string(line)
	trim_space(line) != ""
}
