# Addresses of the web that stanzas may name: those of listed hosts.
package sallyport.ready.urls

deny contains {
	"rule": "urls",
	"reason": sprintf("it names %s", [concat(", ", foreign)]),
	"message": "Links to that host are not exchanged with other domains.",
} if {
	object.get(data.urls, "direction", "both") in {"both", input.direction}
	count(foreign) > 0
}

foreign contains host if {
	some url in input.stanza.urls
	host := host_of(url)
	not listed(host)
}

# host_of is the host of an address: behind the scheme and what names a user, before port and path. A backslash counts as a slash.
host_of(url) := regex.replace(url, `(?s)^(?:[a-z0-9+.-]+:[/\\]*)?(?:[^/\\?#]*@)?(\[[^\]]*\]|[^/\\:?#]*).*$`, "$1")

listed(host) if {
	some name in sallyport.names(host)
	data.urls.hosts[name]
}

faults contains sprintf("data.urls.%s: there are hosts and direction", [name]) if {
	some name, _ in data.urls
	not name in {"hosts", "direction"}
}

faults contains "data.urls.hosts must be an object, keyed by host" if not is_object(object.get(data.urls, "hosts", {}))

faults contains "data.urls.direction must be in, out or both" if not object.get(data.urls, "direction", "both") in {"in", "out", "both"}
