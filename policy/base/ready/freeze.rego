# The switch that stops everything, or everything with some.
package sallyport.ready.freeze

deny contains frozen if on

link_deny contains frozen if on

frozen := {
	"rule": "freeze",
	"reason": "data.freeze stops it",
	"condition": "service-unavailable",
	"message": object.get(data.freeze, "message", "Messages with other domains are stopped for the time being."),
}

on if data.freeze.all == true

on if {
	some name in sallyport.names(input.remote.domain)
	data.freeze.peers[name]
}

faults contains sprintf("data.freeze.%s: there are all, peers and message", [name]) if {
	some name, _ in data.freeze
	not name in {"all", "peers", "message"}
}

faults contains sprintf("data.freeze.%s is %s, must be %s", [name, json.marshal(value), shape[name]]) if {
	some name, value in data.freeze
	not right(name, value)
	shape[name]
}

shape := {"all": "true or false", "peers": "an object of domains, each true or false", "message": "a text"}

right("all", value) if is_boolean(value)

right("peers", value) if {
	is_object(value)
	every on in value {
		is_boolean(on)
	}
}

right("message", value) if is_string(value)
