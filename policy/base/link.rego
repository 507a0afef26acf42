# The decision on a link between a local and a remote domain: whether there may be one, and what it must reach. Until the
# channel or the proof is known they are empty, and only the terms are told.
package sallyport.link

import data.sallyport.inside
import data.sallyport.names
import data.sallyport.peer

decision := object.union_n([{"effect": "allow", "rule": "allow"}, terms]) if {
	count(deny) == 0
} else := object.union_n([first(binding), {"effect": "deny"}, terms]) if {
	count(binding) > 0
} else := object.union_n([first(watched), {"effect": "allow", "would": "deny"}, terms]) if {
	count(binding) == 0
	count(watched) > 0
} else := object.union_n([{"effect": "allow", "rule": "grant", "reason": excuse[first(deny).rule]}, terms]) if {
	count(binding) == 0
}

first(members) := sort([[member.rule, member] | some member in members])[0][1]

# excuse, watched and binding are for links what they are for stanzas. Nothing lifts the floor of the channel but an entry in data.peers:
# what crosses in clear cannot be called back.
excuse[rule] := why if {
	some rule, why in data.sallyport.ready[_].link_excuse
	not names.firm[rule]
}

watched contains member if {
	some member in deny
	not excuse[member.rule]
	observed(member.rule)
}

observed(rule) if {
	not names.firm[rule]
	some name in ["*", rule]
	data.sallyport.ready[_].observed[name]
}

binding contains member if {
	some member in deny
	not excuse[member.rule]
	not observed(member.rule)
}

deny contains member if some member in data.sallyport.ready[_].link_deny

terms := object.union({"require": require}, ending)

require := {name: peer.terms[name] | some name in ["channel", "proof", "tls_min"]}

# ending tells when the link has to be judged again.
default ending := {}

ending := {"until": peer.entry.until} if peer.entry.until

deny contains peer.refusal

deny contains inside.domain

deny contains {
	"rule": "channel-floor",
	"reason": sprintf("%s is required, the link is %s", [require.channel, input.link.channel]),
} if {
	input.link.channel != ""
	not channel_met
}

deny contains {
	"rule": "tls-floor",
	"reason": sprintf("TLS %s is required, the link has %s", [require.tls_min, input.link.tls.version]),
} if {
	input.link.tls.version != ""
	not tls_met
}

deny contains {
	"rule": "proof-floor",
	"reason": sprintf("proof %s is required, the link has %s", [require.proof, input.link.proof]),
} if {
	input.link.proof != ""
	not proof_met
}

deny contains {
	"rule": "pin",
	"reason": "the certificate is none of those that data.peers pins",
} if {
	peer.entry.pins
	input.link.proof != ""
	not listed
}

deny contains {
	"rule": "pin",
	"reason": "the certificate is none of those that were pinned by hand; see sallyport peers show",
} if {
	input.link.known.pin == "other"
	input.link.proof != ""
}

deny contains {
	"rule": "revoked",
	"reason": "the certificate was revoked by its authority",
} if {
	input.link.cert.revocation == "revoked"
}

deny contains {
	"rule": "revocation-unknown",
	"reason": "whether the certificate was revoked cannot be found out, and data.peers asks for certainty",
} if {
	uncertain
	object.get(peer.terms, "revocation", "soft") == "hard"
}

uncertain if input.link.cert.revocation == "unknown"

# Whoever shows no certificate at all must not be better off for it.
uncertain if {
	input.link.proof != ""
	input.link.cert.revocation == ""
}

# The ratchet: a domain is held to what it proved before, unless its entry says otherwise.
deny contains {
	"rule": "ratchet-channel",
	"reason": sprintf("the domain was reached by %s before, the link is %s", [input.link.known.channel, input.link.channel]),
} if {
	input.link.known.channel != ""
	ratcheted
	channel_rank[input.link.channel] < channel_rank[input.link.known.channel]
}

deny contains {
	"rule": "ratchet-proof",
	"reason": sprintf("the domain proved itself by %s before, the link has %s", [input.link.known.proof, input.link.proof]),
} if {
	input.link.known.proof != ""
	ratcheted
	proof_rank[input.link.proof] < proof_rank[input.link.known.proof]
}

ratcheted if object.get(peer.terms, "ratchet", true)

channel_rank := {"plaintext": 0, "tls": 1}

channel_met if input.link.channel == "tls"

channel_met if {
	require.channel == "plaintext"
	input.link.channel == "plaintext"
}

tls_rank := {"1.2": 2, "1.3": 3}

tls_met if tls_rank[input.link.tls.version] >= tls_rank[require.tls_min]

# The ladder of XEP-0238: nothing, dialback, dialback over TLS, a proof of its own. dane, posh and pin are asked for by
# name, because whoever asks for them does not want just any certificate.
proof_rank := {"none": 0, "dialback": 1, "dialback+tls": 2, "pkix": 3, "posh": 3, "dane": 3, "pin": 3}

proof_met if input.link.proof == require.proof

proof_met if {
	require.proof in {"dialback", "dialback+tls", "pkix"}
	proof_rank[input.link.proof] >= proof_rank[require.proof]
}

# Dialback proves the caller to the called. Going out, it asks nothing of the remote side but the address DNS gave.
proof_met if {
	input.direction == "out"
	require.proof in {"dialback", "dialback+tls"}
	input.link.proof in object.keys(proof_rank)
}

proof_met if {
	require.proof == "pin"
	pinned
}

pinned if listed

pinned if input.link.known.pin == "match"

listed if {
	input.link.cert.spki != ""
	concat("/", ["sha256", input.link.cert.spki]) in peer.entry.pins
}
