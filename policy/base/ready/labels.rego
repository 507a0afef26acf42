# Security labels (XEP-0258) and clearances: what is marked higher than a peer's clearance does not cross.
package sallyport.ready.labels

import data.sallyport.peer

# A label that is not in the list and one that shows nothing are above everything. Of several the highest counts.
deny contains {
	"rule": "labels",
	"reason": sprintf("its label is above the clearance of %s", [input.remote.domain]),
	"message": "The label of this message does not allow it to be sent to this domain.",
	"condition": {"out": "policy-violation", "in": "not-acceptable"}[input.direction],
} if {
	labelled
	not cleared
}

# Presence is not labelled, and an iq seldom: one without a label is as if it had none to have.
labelled if input.stanza.label != ""

labelled if input.stanza.kind == "message"

# There is a line for each label, of what is forwarded too, and an empty one for a message that has none of its own: that is held to the
# default, for what is in it may be of whatever label.
marking contains shown if {
	some line in split(input.stanza.label, "\n")
	shown := {true: object.get(data.labels, "default", lowest), false: line}[line == ""]
}

lowest := sort([[rank, name] | some name, rank in data.labels.ranks])[0][1]

cleared if {
	every shown in marking {
		data.labels.ranks[shown] <= data.labels.ranks[clearance]
	}
}

clearance := peer.entry.clearance if {
	peer.entry.clearance
} else := object.get(data.labels, "clearance", lowest)

transform contains {"rule": "labels", "do": "label", "text": data.labels.mark, "order": 10} if {
	data.labels.mark
	input.direction == "out"
	input.stanza.kind == "message"
	split(input.stanza.label, "\n")[0] == ""
	input.stanza.type != "error"
}

faults contains sprintf("data.labels.%s: there are ranks, default, clearance and mark", [name]) if {
	some name, _ in data.labels
	not name in {"ranks", "default", "clearance", "mark"}
}

faults contains "data.labels.ranks must give each label a number" if not ranked

ranked if {
	count(data.labels.ranks) > 0
	every rank in data.labels.ranks {
		is_number(rank)
	}
}

faults contains sprintf("data.labels.%s is %s, which is not in data.labels.ranks", [key, json.marshal(name)]) if {
	some key in ["default", "clearance", "mark"]
	some name in [data.labels[key]]
	not is_number(data.labels.ranks[name])
}

faults contains sprintf("data.peers[%q].clearance is %s, which is not in data.labels.ranks", [peer_name, json.marshal(name)]) if {
	some peer_name, entry in data.peers
	some name in [entry.clearance]
	not is_number(data.labels.ranks[name])
}
