# Which of our users federate, with whom and in which direction; by name, or by the groups that they are in.
package sallyport.ready.rights

# ours is the bare address on our side, whichever way the stanza goes.
ours := {"in": input.to.bare, "out": input.from.bare}[input.direction]

# Where nobody of ours is spoken of, no right is asked for: the server itself, its rooms.
subject if data.rights.users[ours]

subject if {
	some group, _ in data.rights.groups
	data.groups[group][ours]
}

# A right of one's own stands in place of those of groups; of groups, one is enough.
right contains way(data.rights.users[ours])

right contains found if {
	not data.rights.users[ours]
	some group, peers in data.rights.groups
	data.groups[group][ours]
	found := way(peers)
}

way(peers) := [value |
	some name in array.concat(sallyport.names(input.remote.domain), ["default"])
	value := peers[name]
][0]

allowed if "both" in right

allowed if input.direction in right

allowed if {
	not subject
	object.get(data.rights, "default", "all") == "all"
}

deny contains {
	"rule": "rights",
	"reason": sprintf("the right to exchange messages with %s, %s", [input.remote.domain, input.direction]),
	"condition": {"in": "service-unavailable", "out": "forbidden"}[input.direction],
	"message": {"in": "", "out": "You may not exchange messages with that domain."}[input.direction],
} if {
	not allowed
}

faults contains sprintf("data.rights.%s: there are users, groups and default", [name]) if {
	some name, _ in data.rights
	not name in {"users", "groups", "default"}
}

faults contains "data.rights.default must be all or none" if not object.get(data.rights, "default", "all") in {"all", "none"}

faults contains sprintf("data.rights.groups: there is no group %s in data.groups", [name]) if {
	some name, _ in data.rights.groups
	not data.groups[name]
}

faults contains sprintf("data.rights.%s[%q][%q] is %s, must be none, in, out or both", [kind, name, peer, json.marshal(way)]) if {
	some kind in ["users", "groups"]
	some name, peers in data.rights[kind]
	some peer, way in peers
	not way in {"none", "in", "out", "both"}
}
