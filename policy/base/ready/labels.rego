# Security labels (XEP-0258) and clearances: what is marked higher than a peer's clearance does not cross.
package sallyport.ready.labels

import data.sallyport.peer

# A label that is not in the list, two labels, and one that shows nothing are above everything.
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

marking := input.stanza.label if {
	input.stanza.label != ""
} else := object.get(data.labels, "default", lowest)

lowest := sort([[rank, name] | some name, rank in data.labels.ranks])[0][1]

cleared if data.labels.ranks[marking] <= data.labels.ranks[clearance]

clearance := peer.entry.clearance if {
	peer.entry.clearance
} else := object.get(data.labels, "clearance", lowest)

transform contains {"rule": "labels", "do": "label", "text": data.labels.mark, "order": 10} if {
	data.labels.mark
	input.direction == "out"
	input.stanza.kind == "message"
	input.stanza.label == ""
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
