# Leaks: texts in which numbers of cards and accounts, words or patterns are found, as often as a finder says.
package sallyport.ready.dlp

# text is everything that can be read in the stanza, see docs/content.md.
text := input.stanza.text

# finders are those of data.dlp.finders with all that data leaves out.
finders[name] := object.union_n([
	{"direction": "out", "min": 1, "do": "deny", "with": "[removed]"}, finder,
	{"pattern": pattern(finder) | not finder.kind},
]) if some name, finder in data.dlp.finders

# found counts, for each finder, what it finds.
found[name] := n if {
	some name, finder in finders
	finder.direction in {"both", input.direction}
	n := count(hits(finder, text))
	n >= finder.min
}

hits(finder, said) := sallyport.numbers(finder.kind, said) if {
	finder.kind
} else := regex.find_n(finder.pattern, said, -1)

# Words are looked for as words, in whatever case; the list becomes one pattern.
pattern(finder) := finder.pattern if {
	finder.pattern
} else := sprintf("(?i)(?:%s)", [concat("|", [bounded(word) | some word in finder.words])]) if finder.words

bounded(word) := concat("", [edge(`^\w`, word), quoted(word), edge(`\w$`, word)])

# A word that ends in a letter ends there; one that ends in a sign, such as C++, anywhere.
edge(end, word) := `\b` if {
	regex.match(end, word)
} else := ""

quoted(said) := regex.replace(said, `[^\pL\pN ]`, `\$0`)

deny contains {
	"rule": "dlp",
	"reason": sprintf("%s: %d", [name, n]),
	"message": "This message has something in it that may not be sent to other domains.",
} if {
	some name, n in found
	finders[name]["do"] == "deny"
}

transform contains {"rule": "dlp", "do": "mask", "pattern": masked(finder), "with": finder["with"]} if {
	some name, _ in found
	finder := finders[name]
	finder["do"] == "mask"
}

masked(finder) := finder.pattern if not finder.kind

# Numbers are masked as they stand, the longest first, for one can be the beginning of another. There may be thousands, so they are quoted
# all at once: of what stands in a number, only the dot and the bar mean something in a pattern.
masked(finder) := replace(replace(replace(concat("\n", longest), ".", `\.`), "|", `\|`), "\n", "|") if {
	finder.kind
	longest := [hit | some [_, hit] in sort({[-count(hit), hit] | some hit in hits(finder, text)})]
}

# What is typed is sent in pieces while it is typed (XEP-0301), and no piece has all of what a finder looks for. The message that is sent in
# the end has.
transform contains {"rule": "dlp", "do": "strip", "payloads": typed, "order": -1} if {
	"rtt" in input.stanza.class
	some _, finder in data.dlp.finders
	object.get(finder, "direction", "out") in {"both", input.direction}
}

typed := sort({"urn:xmpp:rtt:0"} | {split(payload, "|")[0] |
	some payload in input.stanza.payloads
	startswith(payload, "urn:xmpp:rtt:")
})

notify contains {"rule": "dlp", "to": object.get(data.dlp, "officer", ""), "text": sprintf("%s: %d", [name, n])} if {
	some name, n in found
}

audit contains {"rule": "dlp", "level": data.dlp.audit} if count(found) > 0

faults contains sprintf("data.dlp.%s: there are finders, officer and audit", [name]) if {
	some name, _ in data.dlp
	not name in {"finders", "officer", "audit"}
}

faults contains sprintf("data.dlp.finders[%q] takes one of kind, pattern and words", [name]) if {
	some name, finder in data.dlp.finders
	count({key | some key, _ in finder; key in {"kind", "pattern", "words"}}) != 1
}

faults contains sprintf("data.dlp.finders[%q]: %s", [name, why]) if {
	some name, finder in data.dlp.finders
	some why in wrong(finder)
}

# Nobody could tell what was masked from what was not.
faults contains sprintf("data.dlp.finders[%q]: with is itself something that it finds", [name]) if {
	some name, finder in finders
	finder["do"] == "mask"
	count(hits(finder, finder["with"])) > 0
}

wrong(finder) := {why |
	some key, value in finder
	why := sprintf("%s is %s, must be %s", [key, json.marshal(value), object.get(choices, key, "left out")])
	not right(key, value)
}

choices := {
	"kind": "card or iban", "pattern": "a pattern of RE2", "words": "a list of words", "min": "a number", "direction": "in, out or both",
	"do": "deny, mask or notify", "with": "a text",
}

right(key, value) if value in {"kind": {"card", "iban"}, "direction": {"in", "out", "both"}, "do": {"deny", "mask", "notify"}}[key]

right("pattern", value) if regex.is_valid(value)

right("words", value) if {
	is_array(value)
	count(value) > 0
}

right("min", value) if is_number(value)

right("with", value) if is_string(value)
