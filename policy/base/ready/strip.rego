# What is taken out of stanzas on their way: XHTML, chat states, and payloads by name.
package sallyport.ready.strip

transform contains {"rule": "strip", "do": "strip", "payloads": payloads, "order": -1} if {
	object.get(data.strip, "direction", "both") in {"both", input.direction}
	some payload in input.stanza.payloads
	some name in [payload, split(payload, "|")[0]]
	wanted[name]
}

transform contains {"rule": "strip", "do": "strip", "payloads": payloads, "order": -1} if {
	object.get(data.strip, "direction", "both") in {"both", input.direction}
	count(wanted) > 0
	some payload in input.stanza.payloads
	some carrier in carriers
	startswith(payload, carrier) # whatever is in it
}

# carriers are the beginnings of what has other payloads in it: forwarded copies, what archives answer, what is published.
carriers := ["urn:xmpp:forward:", "urn:xmpp:mam:", "http://jabber.org/protocol/pubsub", "urn:xmpp:carbons:", "urn:xmpp:privilege:", "urn:xmpp:delegation:"]

payloads := sort(wanted)

wanted contains "http://jabber.org/protocol/xhtml-im" if data.strip.xhtml

wanted contains name if {
	data.strip.chat_states
	some name in ["http://jabber.org/protocol/chatstates", "jabber:x:event"]
}

wanted contains name if some name, true in data.strip.payloads

faults contains sprintf("data.strip.%s: there are xhtml, chat_states, payloads and direction", [name]) if {
	some name, _ in data.strip
	not name in {"xhtml", "chat_states", "payloads", "direction"}
}

faults contains "data.strip.payloads must be an object, keyed by namespace or namespace|element" if not is_object(object.get(data.strip, "payloads", {}))

faults contains sprintf("data.strip.payloads[%q] must be a namespace or namespace|element, and jabber:server for jabber:client", [name]) if {
	is_object(data.strip.payloads)
	some name, _ in data.strip.payloads
	regex.match(`^$|^\s|\s$|\|$|^jabber:client($|\|)`, name)
}

faults contains "data.strip.direction must be in, out or both" if not object.get(data.strip, "direction", "both") in {"in", "out", "both"}

faults contains sprintf("data.strip.%s is %s, must be true or false", [key, json.marshal(value)]) if {
	some key in ["xhtml", "chat_states"]
	some value in [data.strip[key]]
	not is_boolean(value)
}

faults contains sprintf("data.strip.payloads[%q] is %s, must be true or false", [name, json.marshal(value)]) if {
	is_object(data.strip.payloads)
	some name, value in data.strip.payloads
	not is_boolean(value)
}
