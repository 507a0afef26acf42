package sallyport.stanza_test

import data.sallyport.stanza

crossing := {
	"v": 1,
	"direction": "out",
	"local": {"domain": "corp.example"},
	"remote": {"domain": "partner.example"},
	"from": {"bare": "juliet@corp.example"},
	"to": {"bare": "romeo@partner.example"},
}

peers := {"partner.example": {}}

test_allowed if {
	stanza.decision == {"effect": "allow", "rule": "allow"} with input as crossing with data.peers as peers
}

test_peer_refused if {
	decision := stanza.decision with input as crossing
	decision.effect == "deny"
	decision.rule == "peer-not-listed"
	decision.condition == "not-allowed"
}

test_kept_inside if {
	decision := stanza.decision with input as crossing
		with data.peers as peers
		with data.internal as {"users": {"juliet@corp.example": true}}
	decision.effect == "deny"
	decision.rule == "internal-user"
	decision.condition == "forbidden"
}

test_first_rule_by_name_speaks if {
	decision := stanza.decision with input as crossing with data.internal as {"users": {"juliet@corp.example": true}}
	decision.rule == "internal-user"
}

# What operators add to deny.

test_condition_has_a_default if {
	decision := stanza.decision with stanza.deny as {{"rule": "no-files"}} with input as crossing
	decision == {"effect": "deny", "rule": "no-files", "condition": "policy-violation"}
}

test_member_may_ask_to_drop if {
	decision := stanza.decision with stanza.deny as {{"rule": "quiet", "effect": "drop"}} with input as crossing
	decision.effect == "drop"
}

test_member_cannot_allow if {
	decision := stanza.decision with stanza.deny as {{"rule": "sly", "effect": "allow"}} with input as crossing
	decision.effect == "deny"
}

test_member_that_names_no_rule_is_no_decision if {
	not stanza.decision with stanza.deny as {{"reason": "because"}} with input as crossing
}
