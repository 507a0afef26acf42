package sallyport.peer_test

import data.sallyport.peer

listed := {
	"default": {"tls_min": "1.3"},
	"partner.example": {"proof": "pkix"},
	"rival.example": {"deny": true},
	"*.partner.example": {"channel": "plaintext"},
	"*.eu.partner.example": {"channel": "tls", "proof": "pkix"},
	"old.example": {"until": "2027-06-30"},
	"*.example": {"until": "2027-06-30T12:00:00Z"},
}

# The moments around the ends above.
last_day := time.parse_rfc3339_ns("2027-06-30T23:59:59Z")

day_after := time.parse_rfc3339_ns("2027-07-01T00:00:00Z")

forenoon := time.parse_rfc3339_ns("2027-06-30T11:59:59Z")

noon := time.parse_rfc3339_ns("2027-06-30T12:00:00Z")

test_exact_name if peer.entry == {"proof": "pkix"} with data.peers as listed with input.remote.domain as "partner.example"

test_wildcard_speaks_below_its_suffix if {
	peer.entry.channel == "plaintext" with data.peers as listed with input.remote.domain as "chat.partner.example"
}

test_closest_wildcard if {
	peer.entry.proof == "pkix" with data.peers as listed with input.remote.domain as "chat.eu.partner.example"
}

test_default_is_no_domain if {
	not peer.entry with data.peers as listed with input.remote.domain as "default"
	peer.refusal.rule == "peer-not-listed" with data.peers as listed with input.remote.domain as "default"
}

test_default_is_no_domain_either_when_dated if {
	not peer.entry with data.peers as {"default": {"until": "2999-01-01"}} with input.remote.domain as "default"
}

test_listed_may_federate if not peer.refusal with data.peers as listed with input.remote.domain as "partner.example"

test_unlisted_may_not if {
	refusal := peer.refusal with data.peers as listed with input.remote.domain as "stranger.test"
	refusal.rule == "peer-not-listed"
	refusal.condition == "not-allowed"
}

test_without_any_data_nobody_may if peer.refusal.rule == "peer-not-listed" with input.remote.domain as "partner.example"

test_misspelt_federation_is_not_open if {
	peer.refusal with data.federation as "Open" with input.remote.domain as "stranger.test"
}

test_open_federation if not peer.refusal with data.federation as "open" with input.remote.domain as "stranger.test"

test_denied_though_open if {
	peer.refusal.rule == "peer-denied" with data.federation as "open"
		with data.peers as listed
		with input.remote.domain as "rival.example"
}

test_dated_entry_holds_to_its_last_second if {
	not peer.refusal with data.peers as listed with input.remote.domain as "old.example" with time.now_ns as last_day
}

test_dated_entry_ends if {
	peer.refusal.rule == "peer-ended" with data.peers as listed
		with input.remote.domain as "old.example"
		with time.now_ns as day_after
}

test_moment_before_the_end if {
	not peer.refusal with data.peers as listed with input.remote.domain as "any.example" with time.now_ns as forenoon
}

test_moment_of_the_end if {
	peer.refusal.rule == "peer-not-listed" with data.peers as listed
		with input.remote.domain as "any.example"
		with time.now_ns as noon
}

test_ended_entry_makes_room_for_the_wildcard if {
	peers := {"a.b.example": {"until": "2001-01-01", "proof": "pkix"}, "*.b.example": {"proof": "dane"}}
	peer.entry.proof == "dane" with data.peers as peers with input.remote.domain as "a.b.example"
}

test_ended_denial_is_over_when_open if {
	not peer.refusal with data.federation as "open"
		with data.peers as {"rival.example": {"deny": true, "until": "2001-01-01"}}
		with input.remote.domain as "rival.example"
}

test_terms_stack_up if {
	terms := peer.terms with data.peers as listed with input.remote.domain as "partner.example"
	terms.channel == "tls"
	terms.proof == "pkix"
	terms.tls_min == "1.3"
}

test_terms_of_nobody_are_the_floor if peer.terms == peer.floor with input.remote.domain as "stranger.test"
