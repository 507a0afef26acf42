# The switch that stops everything, or everything with some.
package sallyport.ready.freeze

import data.sallyport.names

deny contains frozen if on

link_deny contains frozen if on

frozen := {
	"rule": "freeze",
	"reason": "data.freeze stops it",
	"condition": "service-unavailable",
	"message": object.get(data.freeze, "message", "Messages with other domains are stopped for the time being."),
}

on if data.freeze.all

on if {
	some name in array.concat([input.remote.domain], names.wildcards(input.remote.domain))
	data.freeze.peers[name]
}

faults contains sprintf("data.freeze.%s: there are all, peers and message", [name]) if {
	some name, _ in data.freeze
	not name in {"all", "peers", "message"}
}
