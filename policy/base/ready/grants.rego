# Grants: exceptions from rules, each with an owner, a ticket, a reason and an end. One that has ended excuses nothing.
package sallyport.ready.grants

import data.sallyport.names
import data.sallyport.peer

# excuse says under which grant a rule does not hold for this stanza.
excuse[rule] := text if {
	some id in valid
	some rule in data.grants[id].rules
	text := sprintf("grant %s (%s) until %s", [first(rule), data.grants[first(rule)].ticket, data.grants[first(rule)].until])
}

# Of several grants the first by its name is told.
first(rule) := sort([id | some id in valid; rule in data.grants[id].rules])[0]

valid contains id if {
	some id, grant in data.grants
	concerns_peer(grant)
	concerns_user(grant)
	not peer.ended(grant)
}

# link_excuse is the same for links, by grants that are for no user in particular.
link_excuse[rule] := text if {
	some id, grant in data.grants
	not grant.users
	concerns_peer(grant)
	not peer.ended(grant)
	some rule in grant.rules
	text := "a grant without users has it; see data.grants"
}

concerns_peer(grant) if {
	some name in sallyport.names(input.remote.domain)
	name in grant.peers
}

concerns_user(grant) if not grant.users

concerns_user(grant) if {"in": input.to.bare, "out": input.from.bare}[input.direction] in grant.users

faults contains sprintf("data.grants[%q] has no %s", [id, key]) if {
	some id, grant in data.grants
	some key in ["rules", "peers", "owner", "ticket", "reason", "until"]
	not grant[key]
}

faults contains sprintf("data.grants[%q].%s: nothing reads that", [id, key]) if {
	some id, grant in data.grants
	some key, _ in grant
	not key in {"rules", "peers", "users", "owner", "ticket", "reason", "until"}
}

faults contains sprintf("data.grants[%q].%s must be a list of texts", [id, key]) if {
	some id, grant in data.grants
	some key in ["rules", "peers", "users"]
	some list in [grant[key]]
	not texts(list)
}

texts(list) if {
	is_array(list)
	every value in list {
		is_string(value)
	}
}

faults contains sprintf("data.grants[%q].until is %s, must be a day (2027-06-30) or a time in UTC (2027-06-30T12:00:00Z)", [id, json.marshal(grant.until)]) if {
	some id, grant in data.grants
	not data.sallyport.check.dated(grant.until)
	some _ in [grant.until]
}

faults contains sprintf("data.grants[%q].rules[%d]: no grant lifts %s", [id, i, rule]) if {
	some id, grant in data.grants
	some i, rule in grant.rules
	names.firm[rule]
}
