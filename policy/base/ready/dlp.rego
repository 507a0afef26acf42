# Leaks: texts in which numbers of cards and accounts, words or patterns are found, as often as a finder says.
package sallyport.ready.dlp

# text is everything that can be read in the stanza, see docs/content.md.
text := input.stanza.text

# found counts, for each finder of data.dlp.finders, what it finds.
found[name] := n if {
	some name, finder in data.dlp.finders
	object.get(finder, "direction", "out") in {"both", input.direction}
	n := count(hits(finder))
	n >= object.get(finder, "min", 1)
}

hits(finder) := [hit | some hit in regex.find_n(pattern(finder), text, -1); genuine(finder, hit)]

pattern(finder) := kinds[finder.kind]

pattern(finder) := finder.pattern

# Words are looked for as words, in whatever case; the list becomes one pattern.
pattern(finder) := sprintf("(?i)(?:%s)", [concat("|", [bounded(word) | some word in finder.words])]) if finder.words

bounded(word) := concat("", [edge(`^\w`, word), regex.replace(word, `[^\pL\pN ]`, `\$0`), edge(`\w$`, word)])

# A word that ends in a letter ends there; one that ends in a sign, such as C++, anywhere.
edge(end, word) := `\b` if {
	regex.match(end, word)
} else := ""

kinds := {"card": `\b(?:\d[ -]?){12,18}\d\b`, "iban": `\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b`}

genuine(finder, _) if not finder.kind

genuine(finder, hit) if {
	finder.kind == "card"
	luhn(regex.replace(hit, `\D`, ""))
}

genuine(finder, hit) if {
	finder.kind == "iban"
	mod97(replace(hit, " ", ""))
}

# ISO/IEC 7812-1: every second digit from the right is doubled, digits are added, and the sum ends in 0.
luhn(digits) if {
	n := count(digits)
	sum([value |
		some i in numbers.range(0, n - 1)
		digit := to_number(substring(digits, i, 1))
		value := weighed[(n - i) % 2][digit]
	]) % 10 == 0
}

weighed := [[0, 2, 4, 6, 8, 1, 3, 5, 7, 9], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]]

# ISO 13616: the first four characters go to the end, letters become numbers, and the rest of a division by 97 is 1. It is divided in
# pieces, for the number is longer than numbers are.
mod97(iban) if {
	moved := concat("", [substring(iban, 4, -1), substring(iban, 0, 4)])
	digits := concat("", [figure |
		some i in numbers.range(0, count(moved) - 1)
		figure := figures[substring(moved, i, 1)]
	])
	rest(digits) == 1
}

figures[c] := format_int(i, 10) if some i, c in split("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "")

rest(digits) := sum([part |
	n := count(digits)
	some i in numbers.range(0, n - 1)
	part := to_number(substring(digits, i, 1)) * powers[(n - 1) - i]
]) % 97

# powers of ten, modulo 97; they come again after 96.
powers := [1, 10, 3, 30, 9, 90, 27, 76, 81, 34, 49, 5, 50, 15, 53, 45, 62, 38, 89, 17, 73, 51, 25, 56, 75, 71, 31, 19, 93, 57, 85, 74, 61, 28, 86, 84, 64, 58, 95, 77, 91, 37, 79, 14, 43, 42, 32, 29, 96, 87, 94, 67, 88, 7, 70, 21, 16, 63, 48, 92, 47, 82, 44, 52, 35, 59, 8, 80, 24, 46]

deny contains {
	"rule": "dlp",
	"reason": sprintf("%s: %d", [name, n]),
	"message": "This message has something in it that may not be sent to other domains.",
} if {
	some name, n in found
	object.get(data.dlp.finders[name], "do", "deny") == "deny"
}

transform contains {"rule": "dlp", "do": "mask", "pattern": pattern(finder), "with": object.get(finder, "with", "[removed]")} if {
	some name, _ in found
	finder := data.dlp.finders[name]
	finder["do"] == "mask"
}

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
	some name, finder in data.dlp.finders
	finder["do"] == "mask"
	regex.match(pattern(finder), object.get(finder, "with", "[removed]"))
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
