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
	stanza.decision == {"effect": "allow", "rule": "allow"} with data.sallyport.ready as {} with input as crossing with data.peers as peers
}

test_peer_refused if {
	decision := stanza.decision with data.sallyport.ready as {} with input as crossing
	decision.effect == "deny"
	decision.rule == "peer-not-listed"
	decision.condition == "not-allowed"
}

test_kept_inside if {
	decision := stanza.decision with data.sallyport.ready as {} with input as crossing
		with data.peers as peers
		with data.internal as {"users": {"juliet@corp.example": true}}
	decision.effect == "deny"
	decision.rule == "internal-user"
	decision.condition == "forbidden"
}

test_first_rule_by_name_speaks if {
	decision := stanza.decision with data.sallyport.ready as {} with input as crossing with data.internal as {"users": {"juliet@corp.example": true}}
	decision.rule == "internal-user"
}

test_surface if {
	decision := stanza.decision with data.sallyport.ready as {}
		with input as object.union(crossing, {"stanza": {"class": ["forged-envelope"]}})
		with data.peers as peers
	decision.rule == "forged-envelope"
	decision.effect == "drop"
}

# What operators add to deny.

test_condition_has_a_default if {
	decision := stanza.decision with data.sallyport.ready as {} with stanza.deny as {{"rule": "no-files"}} with input as crossing
	decision == {"effect": "deny", "rule": "no-files", "condition": "policy-violation"}
}

test_member_may_ask_to_drop if {
	decision := stanza.decision with data.sallyport.ready as {} with stanza.deny as {{"rule": "quiet", "effect": "drop"}} with input as crossing
	decision.effect == "drop"
}

test_member_cannot_allow if {
	decision := stanza.decision with data.sallyport.ready as {} with stanza.deny as {{"rule": "sly", "effect": "allow"}} with input as crossing
	decision.effect == "deny"
}

test_member_that_names_no_rule_is_no_decision if {
	not stanza.decision with data.sallyport.ready as {} with stanza.deny as {{"reason": "because"}} with input as crossing
}

# What is granted and what is only observed.

refused := {{"rule": "no-files", "reason": "files stay", "audit": "link"}, {"rule": "zeal", "effect": "drop"}}

granted := {"grants": {"excuse": {"no-files": "grant OPS-7"}}}

test_granted_is_allowed_and_says_why if {
	decision := stanza.decision with stanza.deny as {{"rule": "no-files"}} with data.sallyport.ready as granted with input as crossing
	decision == {"effect": "allow", "rule": "grant", "reason": "grant OPS-7"}
}

test_granted_leaves_other_rules if {
	decision := stanza.decision with stanza.deny as refused with data.sallyport.ready as granted with input as crossing
	decision.rule == "zeal"
	decision.effect == "drop"
}

test_observed_is_allowed_and_says_what_would_be[name] if {
	some name, would in {"no-files": "deny", "zeal": "drop"}
	only := {m | some m in refused; m.rule == name}
	decision := stanza.decision with stanza.deny as only
		with data.sallyport.ready as {"observe": {"observed": {name: true}}}
		with input as crossing
	decision.effect == "allow"
	decision.would == would
	decision.rule == name
}

test_observed_does_not_hide_what_binds if {
	decision := stanza.decision with stanza.deny as refused
		with data.sallyport.ready as {"observe": {"observed": {"no-files": true}}}
		with input as crossing
	decision.rule == "zeal"
	not decision.would
}

test_all_observed if {
	decision := stanza.decision with stanza.deny as refused
		with data.sallyport.ready as {"observe": {"observed": {"*": true}}}
		with input as crossing
	decision.would == "deny"
}

# What else a policy can ask for.

test_changes_come_in_order if {
	decision := stanza.decision with data.sallyport.ready as {} with data.peers as peers
		with input as crossing
		with stanza.transform as {{"rule": "b", "do": "fold-presence"}, {"rule": "c", "do": "label", "text": "x", "order": -1}, {"rule": "a", "do": "strip-candidates"}}
	[t.rule | some t in decision.transforms] == ["c", "a", "b"]
}

test_highest_level_wins if {
	decision := stanza.decision with data.sallyport.ready as {} with stanza.deny as {{"rule": "r", "audit": "sealed"}}
		with input as crossing
		with stanza.audit as {{"rule": "a", "level": "link"}, {"rule": "b", "level": "metadata"}}
	decision.audit == "sealed"
}

test_first_retention_by_rule_counts if {
	decision := stanza.decision with data.sallyport.ready as {} with data.peers as peers
		with input as crossing
		with stanza.retention as {{"rule": "b", "class": "1y"}, {"rule": "a", "class": "7y"}}
	decision.retention == "7y"
	not decision.audit
}

test_notices_are_passed_on if {
	decision := stanza.decision with data.sallyport.ready as {} with data.peers as peers
		with input as crossing
		with stanza.notify as {{"rule": "n", "to": "officer", "text": "look"}}
	decision.notify == [{"rule": "n", "to": "officer", "text": "look"}]
}

# What is wrong with a member is told by the gate, which gets it as it is.

test_no_change_gets_lost[name] if {
	some name, member in {
		"no rule": {"do": "fold-presence"}, "no object": "fold-presence", "a list": [1], "an order that is none": {"rule": "x", "do": "fold-presence", "order": "last"},
		"nothing": null, "false": false,
	}
	decision := stanza.decision with data.sallyport.ready as {} with data.peers as peers
		with input as crossing
		with stanza.transform as {{"rule": "a", "do": "strip-candidates"}, member}
	count(decision.transforms) == 2
	member in decision.transforms
}

odd_levels := {
	"no rule": {"level": "content"}, "an empty rule": {"rule": "", "level": "content"}, "a rule that is a number": {"rule": 1, "level": "content"},
	"no level": {"rule": "x"}, "a level that is none": {"rule": "x", "level": "contents"}, "no word": {"rule": "x", "level": 4},
	"one more": {"rule": "x", "level": "content", "clas": "7y"}, "no object": "content", "a list": ["content"], "nothing": null, "false": false,
}

test_no_level_gets_lost[name] if {
	some name, member in odd_levels
	decision := stanza.decision with data.sallyport.ready as {} with data.peers as peers
		with input as crossing
		with stanza.audit as {{"rule": "a", "level": "link"}, member}
	decision.audit == [member]
}

test_no_level_of_a_denial_gets_lost if {
	decision := stanza.decision with data.sallyport.ready as {} with stanza.deny as {{"rule": "r", "audit": "all"}}
		with input as crossing
		with stanza.audit as {{"rule": "a", "level": "link"}}
	decision.audit == [{"rule": "r", "level": "all"}]
}

test_no_retention_gets_lost[name] if {
	some name, member in {
		"no rule": {"class": "7y"}, "no class": {"rule": "x"}, "a class that is a number": {"rule": "x", "class": 7}, "an empty class": {"rule": "x", "class": ""}, "misspelt": {"rule": "x", "clas": "7y"},
		"no object": "7y", "nothing": null,
	}
	decision := stanza.decision with data.sallyport.ready as {} with data.peers as peers
		with input as crossing
		with stanza.retention as {{"rule": "a", "class": "1y"}, member}
	decision.retention == [member]
}

test_ready_made_policies_add_their_members if {
	ready := {"x": {
		"deny": {{"rule": "x"}},
		"transform": {{"rule": "x", "do": "fold-presence"}},
		"notify": {{"rule": "x", "text": "x"}},
		"audit": {{"rule": "x", "level": "content"}},
		"retention": {{"rule": "x", "class": "x"}},
	}}
	decision := stanza.decision with data.peers as peers with data.sallyport.ready as ready with input as crossing
	decision == {
		"effect": "deny", "rule": "x", "condition": "policy-violation", "audit": "content", "retention": "x",
		"transforms": [{"rule": "x", "do": "fold-presence"}], "notify": [{"rule": "x", "text": "x"}],
	}
}

# A grant lets pass what is refused, and takes back no change.
test_a_grant_changes_nothing if {
	decision := stanza.decision with input as crossing with data.peers as peers
		with stanza.deny as {{"rule": "calls", "reason": "r"}}
		with stanza.excuse as {"calls": "grant deal"}
		with stanza.transform as {{"rule": "calls", "do": "strip-candidates"}}
	decision.rule == "grant"
	decision.transforms == [{"rule": "calls", "do": "strip-candidates"}]
}
