# What data.internal keeps inside does not cross in the payload of a stanza either: in an invitation, a forwarded copy, a published item,
# a form, a vCard. Who is from and to is base/inside.rego's. (The package is not called internal, see there.)
package sallyport.ready.mentions

import data.sallyport.inside

named contains jid if some jid in input.stanza.jids

# A gateway's name for somebody has that address in its localpart, escaped (XEP-0106) or with a % (XEP-0100).
named contains inner if {
	some jid in input.stanza.jids
	some inner in sallyport.behind(jid)
}

deny contains inside.kept("internal-user", "it names an address of data.internal.users") if {
	some jid in named
	data.internal.users[jid]
}

deny contains inside.kept("internal-room", "it names an address of data.internal.rooms") if {
	some jid in named
	data.internal.rooms[jid]
}

deny contains inside.kept("internal-group", "it names an address in a group of data.internal.groups") if {
	some jid in named
	some name, closed in data.internal.groups
	closed
	data.groups[name][jid]
}

deny contains inside.kept("internal-domain", "it names an address at a domain of data.internal.domains") if {
	data.internal.domains
	some jid in named
	inside.domain_kept(regex.replace(jid, "^.*@", ""))
}

deny contains inside.kept("internal-label", "data.internal.labels has its label") if {
	some marking in split(input.stanza.label, "\n")
	data.internal.labels[marking]
}
