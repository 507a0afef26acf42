package sallyport.link_test

import data.sallyport.link

peers := {
	"any.example": {},
	"old.example": {"channel": "plaintext", "until": "2999-06-30"},
	"pkix.example": {"proof": "pkix"},
	"dane.example": {"proof": "dane"},
	"tls13.example": {"tls_min": "1.3"},
	"pinned.example": {"proof": "pin", "pins": ["sha256/AAAA", "sha256/a/b="]},
}

# A link with remote, as direction channel proof [version [spki]].
asked(remote, words) := {
	"direction": words[0],
	"local": {"domain": "corp.example"},
	"remote": {"domain": remote},
	"link": {"channel": words[1], "proof": words[2], "tls": {"version": all[3]}, "cert": {"spki": all[4]}},
} if {
	all := array.concat(words, ["", ""])
}

ruled(remote, words) := rule if {
	rule := link.decision.rule with data.sallyport.ready as {} with data.peers as peers with input as asked(remote, words)
}

test_allowed[note] if {
	some note, [remote, words] in {
		"nothing is known yet": ["pkix.example", ["out", "", ""]],
		"nothing is known yet, inbound": ["pinned.example", ["in", "", ""]],
		"dialback over TLS": ["any.example", ["in", "tls", "dialback+tls", "1.2"]],
		"more than asked for": ["any.example", ["in", "tls", "pkix", "1.3"]],
		"plaintext where it is listed": ["old.example", ["in", "plaintext", "dialback"]],
		"TLS where plaintext would do": ["old.example", ["in", "tls", "dialback+tls", "1.3"]],
		"going out, dialback asks nothing of the peer": ["any.example", ["out", "tls", "none", "1.3"]],
		"certificate": ["pkix.example", ["out", "tls", "pkix", "1.3"]],
		"DANE where a certificate would do": ["pkix.example", ["in", "tls", "dane", "1.3"]],
		"DANE where DANE is asked for": ["dane.example", ["in", "tls", "dane", "1.3"]],
		"pinned key": ["pinned.example", ["in", "tls", "dialback+tls", "1.3", "a/b="]],
	}
	ruled(remote, words) == "allow"
}

test_denied[note] if {
	some note, [remote, words, rule] in {
		"stranger": ["stranger.example", ["in", "", ""], "peer-not-listed"],
		"plaintext where TLS is asked for": ["any.example", ["in", "plaintext", "dialback"], "channel-floor"],
		"a channel of no known kind": ["old.example", ["in", "carrier-pigeon", "dialback"], "channel-floor"],
		"TLS too old": ["tls13.example", ["in", "tls", "dialback+tls", "1.2"], "tls-floor"],
		"TLS of no known version": ["any.example", ["in", "tls", "dialback+tls", "SSL 3"], "tls-floor"],
		"nothing proved": ["any.example", ["in", "tls", "none", "1.3"], "proof-floor"],
		"a proof of no known kind": ["any.example", ["out", "tls", "word of honour", "1.3"], "proof-floor"],
		"dialback where a certificate is asked for": ["pkix.example", ["in", "tls", "dialback+tls", "1.3"], "proof-floor"],
		"going out too": ["pkix.example", ["out", "tls", "none", "1.3"], "proof-floor"],
		"any certificate where DANE is asked for": ["dane.example", ["in", "tls", "pkix", "1.3"], "proof-floor"],
		"another key than the pinned": ["pinned.example", ["in", "tls", "pkix", "1.3", "BBBB"], "pin"],
		"no certificate to be pinned": ["pinned.example", ["in", "tls", "dialback+tls", "1.3"], "pin"],
	}
	ruled(remote, words) == rule
}

# remembered is a link on which more is known than asked says.
remembered(remote, words, known, revocation) := object.union(
	asked(remote, words),
	{"link": {"known": known, "cert": {"revocation": revocation}}},
)

remembering(remote, words, known) := rule if {
	rule := link.decision.rule with data.sallyport.ready as {} with data.peers as bound with input as remembered(remote, words, known, "")
}

bound := object.union(peers, {"free.example": {"ratchet": false}, "strict.example": {"revocation": "hard"}})

nothing := {"channel": "", "proof": "", "pin": ""}

test_ratchet[note] if {
	some note, [remote, words, known, rule] in {
		"nothing remembered": ["any.example", ["in", "tls", "dialback+tls", "1.3"], {}, "allow"],
		"as good as before": ["any.example", ["in", "tls", "pkix", "1.3"], {"channel": "tls", "proof": "pkix"}, "allow"],
		"another proof of the same rank": ["any.example", ["in", "tls", "posh", "1.3"], {"proof": "dane"}, "allow"],
		"better than before": ["any.example", ["in", "tls", "dialback+tls", "1.3"], {"proof": "dialback"}, "allow"],
		"a worse proof": ["any.example", ["in", "tls", "dialback+tls", "1.3"], {"proof": "pkix"}, "ratchet-proof"],
		"a worse proof, going out": ["any.example", ["out", "tls", "none", "1.3"], {"proof": "pkix"}, "ratchet-proof"],
		"STARTTLS taken out, ABUSE 16": ["old.example", ["out", "plaintext", "none"], {"channel": "tls"}, "ratchet-channel"],
		"before anything is known of the link": ["any.example", ["out", "", ""], {"channel": "tls", "proof": "pkix"}, "allow"],
		"set free": ["free.example", ["in", "tls", "dialback+tls", "1.3"], {"proof": "pkix"}, "allow"],
		"another key than was pinned by hand": ["any.example", ["in", "tls", "pkix", "1.3"], {"pin": "other"}, "pin"],
		"pinned by hand, before there is a certificate": ["any.example", ["out", "", ""], {"pin": "other"}, "allow"],
		"the key that was pinned by hand": ["any.example", ["in", "tls", "dialback+tls", "1.3"], {"pin": "match"}, "allow"],
		"a pin by hand is a proof, not leave to break the list": ["pinned.example", ["in", "tls", "pkix", "1.3", "BBBB"], {"pin": "match"}, "pin"],
	}
	remembering(remote, words, object.union(nothing, known)) == rule
}

test_revocation[note] if {
	some note, [remote, revocation, rule] in {
		"good": ["strict.example", "good", "allow"],
		"no certificate": ["any.example", "", "allow"],
		"no certificate, and certainty is asked for": ["strict.example", "", "revocation-unknown"],
		"nobody knows": ["any.example", "unknown", "allow"],
		"nobody knows, and certainty is asked for": ["strict.example", "unknown", "revocation-unknown"],
		"revoked": ["any.example", "revoked", "revoked"],
	}
	decision := link.decision with data.sallyport.ready as {} with data.peers as bound with input as remembered(remote, ["in", "tls", "pkix", "1.3"], nothing, revocation)
	decision.rule == rule
}

test_revocation_before_there_is_a_certificate if {
	decision := link.decision with data.sallyport.ready as {} with data.peers as bound with input as remembered("strict.example", ["in", "", ""], nothing, "")
	decision.rule == "allow"
}

test_domain_kept_inside if {
	decision := link.decision with data.sallyport.ready as {} with data.peers as peers
		with data.internal.domains as {"corp.example": true}
		with input as asked("any.example", ["out", "", ""])
	decision.rule == "internal-domain"
	decision.effect == "deny"
}

test_terms_are_told if {
	decision := link.decision with data.sallyport.ready as {} with data.peers as peers with input as asked("old.example", ["out", "", ""])
	decision.require == {"channel": "plaintext", "proof": "dialback", "tls_min": "1.2"}
	decision.until == "2999-06-30"
}

test_terms_are_told_when_denied if {
	decision := link.decision with data.sallyport.ready as {} with input as asked("any.example", ["out", "", ""])
	decision.require == {"channel": "tls", "proof": "dialback", "tls_min": "1.2"}
	not decision.until
}

# What is granted, what is only observed, and what ready-made policies add.

lifted(ready, words) := decision if {
	decision := link.decision with data.peers as {} with data.sallyport.ready as ready with input as asked("stranger.example", words)
}

test_granted if {
	decision := lifted({"grants": {"link_excuse": {"peer-not-listed": "OPS-7"}}}, ["out", "", ""])
	decision.effect == "allow"
	decision.rule == "grant"
	decision.reason == "OPS-7"
	decision.require.channel == "tls"
}

test_observed[name] if {
	some name in ["*", "peer-not-listed"]
	decision := lifted({"observe": {"observed": {name: true}}}, ["out", "", ""])
	decision.effect == "allow"
	decision.would == "deny"
	decision.rule == "peer-not-listed"
}

test_nothing_lifts_the_channel[note] if {
	some note, ready in {
		"observed": {"observe": {"observed": {"*": true}}},
		"granted": {"grants": {"link_excuse": {"channel-floor": "OPS-7", "peer-not-listed": "OPS-7"}}},
	}
	decision := lifted(ready, ["in", "plaintext", "dialback"])
	decision.effect == "deny"
	decision.rule == "channel-floor"
}

test_ready_made_policies_deny_links if {
	decision := lifted({"x": {"link_deny": {{"rule": "a"}}}}, ["out", "", ""])
	decision.effect == "deny"
	decision.rule == "a"
}
