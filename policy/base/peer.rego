# What data.federation and data.peers say of the remote domain.
package sallyport.peer

# entry is the part of data.peers that speaks for the remote domain: the one under its own name, else the closest
# wildcard. An entry past its `until` speaks no more. "default" is no domain.
entry := own if {
	domain := input.remote.domain
	own := data.peers[domain]
	not own.until
	domain != "default"
} else := current[0]

current := [e |
	some name in sallyport.names(input.remote.domain)
	e := data.peers[name]
	name != "default"
	not ended(e)
]

# ended looks for `until` before it asks for the time: a decision that asked for the time is never remembered. Dates
# written as in RFC 3339, in UTC, sort as text; a day includes its last second.
ended(e) if {
	e.until
	time.format([time.now_ns(), "UTC", "2006-01-02"]) > e.until
}

ended(e) if {
	contains(e.until, "T")
	time.format([time.now_ns(), "UTC", "2006-01-02T15:04:05Z"]) >= e.until
}

open if data.federation == "open"

# refusal says why the remote domain may not federate; it is undefined when it may. RFC 6120 §8.3.3.10 has not-allowed
# for domains that nobody here may talk to.
refusal := refused("peer-denied", "data.peers denies it") if {
	entry.deny
} else := unlisted if {
	not entry
	not open
}

unlisted := refused("peer-ended", "its entry in data.peers has ended") if {
	ended(data.peers[input.remote.domain])
} else := refused("peer-not-listed", "data.peers does not have it")

refused(rule, why) := {
	"rule": rule,
	"reason": sprintf("%s: %s", [input.remote.domain, why]),
	"condition": "not-allowed",
	"message": "This server does not exchange messages with that domain.",
}

# terms are the least that a link with the remote domain must reach: its entry over data.peers["default"] over the floor.
terms := object.union_n([floor, standard, special])

floor := {"channel": "tls", "proof": "dialback", "tls_min": "1.2", "revocation": "soft", "ratchet": true}

default standard := {}

standard := data.peers["default"]

default special := {}

special := entry
