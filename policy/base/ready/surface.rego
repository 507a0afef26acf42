# What else is refused that comes from outside, by class or by namespace: version, last activity, time, whatever the house does not want
# to say.
package sallyport.ready.surface

deny contains {
	"rule": "surface",
	"reason": sprintf("data.surface.refuse has %s", [name]),
	"condition": "service-unavailable",
	"message": "",
} if {
	input.direction == "in"
	not input.stanza.type in {"result", "error"}
	some name in array.concat(input.stanza.class, names)
	data.surface.refuse[name]
}

names := array.concat(input.stanza.payloads, [split(payload, "|")[0] | some payload in input.stanza.payloads])

faults contains sprintf("data.surface.%s: there are allow and refuse", [name]) if {
	some name, _ in data.surface
	not name in {"allow", "refuse"}
}

faults contains sprintf("data.surface.allow.%s: there are admin, archive and register", [name]) if {
	some name, _ in data.surface.allow
	not name in {"admin", "archive", "register"}
}

faults contains "data.surface.refuse must be an object, keyed by class or namespace" if not is_object(object.get(data.surface, "refuse", {}))
