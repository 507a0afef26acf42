package sallyport.ready.observe_test

import data.sallyport.ready.observe

asked(remote) := {"remote": {"domain": remote}}

test_rules if {
	found := observe.observed with data.observe as {"rules": {"files": true, "calls": false}} with input as asked("partner.example")
	found == {"files": true}
}

test_peers[remote] if {
	some remote in ["new.example", "a.group.example", "later.example"]
	found := observe.observed with data.observe as {"peers": {"new.example": true, "*.group.example": {}, "later.example": {"until": "2999-01-01"}}}
		with input as asked(remote)
	found == {"*": true}
}

test_others_are_not[remote] if {
	some remote in ["partner.example", "group.example", "off.example", "over.example"]
	found := observe.observed with data.observe as {"peers": {"off.example": false, "*.group.example": {}, "over.example": {"until": "2020-01-01"}}}
		with input as asked(remote)
	found == {}
}

test_faults if {
	observe.faults == {"data.observe.rule: there are peers and rules"} with data.observe as {"rule": {}, "peers": {}}
}

test_what_is_never_only_observed[rule] if {
	some rule in ["channel-floor", "forged-envelope", "freeze", "internal-label", "pin", "revoked"]
	observe.faults == {sprintf("data.observe.rules[%q]: this rule is never only observed", [rule])} with data.observe as {"rules": {rule: true}}
	observe.faults == set() with data.observe as {"rules": {rule: false}}
}
