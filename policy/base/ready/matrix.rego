# The partner matrix: which of our domains exchanges what with which other, in which direction.
package sallyport.ready.matrix

import data.sallyport.names

# row is what our domain has on the remote one: under its name, the closest wildcard, or "default".
row := [found |
	table := data.matrix[input.local.domain]
	some name in array.concat(sallyport.names(input.remote.domain), ["default"])
	found := table[name]
][0]

cell := row[input.direction]

# A cell is true, for everything, or names kinds and classes: {message: true, "call.audio": true}. Where it is by classes that a stanza is
# let through, each of its own has to be there: a file is not let through by the text beside it.
allowed if cell == true

allowed if cell[input.stanza.kind] == true

allowed if {
	input.stanza.class != []
	every class in input.stanza.class {
		cell[class] == true
	}
}

deny contains {
	"rule": "matrix",
	"reason": sprintf("data.matrix has nothing for %s, %s with %s", [input.stanza.kind, input.direction, input.remote.domain]),
	"message": "This is not exchanged with that domain.",
} if {
	not allowed
}

# What a cell says false to is refused, whatever else lets the stanza through.
deny contains {
	"rule": "matrix",
	"reason": sprintf("data.matrix says no to %s, %s with %s", [name, input.direction, input.remote.domain]),
	"message": "This is not exchanged with that domain.",
} if {
	some name in array.concat([input.stanza.kind], input.stanza.class)
	cell[name] == false
}

# Nothing in a direction: not even a link.
link_deny contains {
	"rule": "matrix",
	"reason": sprintf("data.matrix has nothing for %s with %s, %s", [input.local.domain, input.remote.domain, input.direction]),
	"condition": "not-allowed",
	"message": "This server does not exchange messages with that domain.",
} if {
	empty
}

empty if not cell

empty if cell == {}

faults contains sprintf("data.matrix[%q] must be an object, keyed by remote domain", [ours]) if {
	some ours, table in data.matrix
	not is_object(table)
}

faults contains sprintf("data.matrix[%q][%q].%s: there are in and out", [ours, theirs, way]) if {
	some ours, theirs
	some way, _ in data.matrix[ours][theirs]
	not way in {"in", "out"}
}

faults contains sprintf("data.matrix[%q][%q].%s[%q] is %s, must be true or false", [ours, theirs, way, name, json.marshal(value)]) if {
	some ours, theirs, way
	is_object(data.matrix[ours][theirs][way])
	some name, value in data.matrix[ours][theirs][way]
	not is_boolean(value)
}

faults contains sprintf("data.matrix[%q][%q].%s[%q] is no kind and no class", [ours, theirs, way, name]) if {
	some ours, theirs, way
	is_object(data.matrix[ours][theirs][way])
	some name, _ in data.matrix[ours][theirs][way]
	not name in names.kinds
	not name in names.classes
}

faults contains sprintf("data.matrix[%q][%q] must be an object of in and out", [ours, theirs]) if {
	some ours, table in data.matrix
	is_object(table)
	some theirs, row in table
	not is_object(row)
}

faults contains sprintf("data.matrix[%q][%q].%s must be true or an object of kinds and classes", [ours, theirs, way]) if {
	some ours, theirs, way
	value := data.matrix[ours][theirs][way]
	not is_object(value)
	value != true
}
