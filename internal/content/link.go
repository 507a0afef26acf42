package content

import (
	"net/url"
	"regexp"
	"strings"

	"sallyport/internal/jid"
)

// link is an address of the web or of the like, as programs make it one to press on: wherever it begins, and with any number of slashes of
// either kind behind the schemes that browsers know.
var link = regexp.MustCompile(`(?i)(?:[a-z][a-z0-9+.-]*:[/\\]{2}|(?:https?|ftp|wss?):|www\.|mailto:|xmpp:|magnet:\?|data:[a-z]+/)[^\s<>"]+`)

// web is where an address of the web begins within another.
var web = regexp.MustCompile(`(?i)(?:https?|ftp|wss?):[/\\]`)

// bare is a host without a scheme and what is to be fetched from it, as programs make a link of too: a name whose last part has the form of a
// top-level domain, or an address of version 4. A name alone is more often the end of a sentence, or a file.
var bare = regexp.MustCompile(`(?i)(?:(?:[\pL\pN_](?:[\pL\pN\pM_-]*[\pL\pN\pM])?[.。])+(?:xn--[a-z0-9-]+|[\pL\pM]{2,})|\d{1,3}(?:\.\d{1,3}){3})[.。]?(?::\d{1,5})?(?:[/\\][^\s<>"]*|[?#][^\s<>"]+)`)

// addresses takes what programs make a link of in a text for people.
func (x *extraction) addresses(text string) {
	at := 0
	for _, found := range link.FindAllStringIndex(text, -1) {
		x.schemeless(text[at:found[0]])
		at = found[1]
	}
	x.schemeless(text[at:])
	x.links(text)
}

// schemeless takes the hosts that stand in text without a scheme. What stands behind an @ is the domain of somebody's address.
func (x *extraction) schemeless(text string) {
	for _, at := range bare.FindAllStringIndex(text, -1) {
		if at[0] > 0 && text[at[0]-1] == '@' {
			continue
		}
		x.link("http://" + strings.TrimRight(text[at[0]:at[1]], trailing))
	}
}

// trailing are the signs that end a sentence, and no address.
const trailing = ".,;:!?)]}'"

func (x *extraction) links(text string) {
	for _, found := range link.FindAllString(text, -1) {
		found = strings.TrimRight(found, trailing)
		if address, ok := cutPrefixFold(found, "xmpp:"); ok {
			x.address("jid", "xmpp:"+address)
		}
		if _, ok := cutPrefixFold(found, "www."); ok {
			x.link("http://" + found)
		} else {
			x.link(found)
		}
		inner := web.FindAllStringIndex(found, -1)
		for i, at := range inner {
			end := len(found)
			if i+1 < len(inner) {
				end = inner[i+1][0]
			}
			if at[0] > 0 {
				x.link(found[at[0]:end])
			}
		}
	}
}

// link takes an address, in both readings where there are two: browsers take a backslash for a slash, and RFC 3986 does not.
func (x *extraction) link(found string) {
	x.urls[canonical(found, `/?#\`)] = true
	if strings.Contains(found, `\`) {
		x.urls[canonical(found, "/?#")] = true
	}
}

// canonical writes scheme and host as they are compared: lower case, Unicode, no final dot, nothing that stands for a user before it. The
// host ends where the first of ends stands.
func canonical(found, ends string) string {
	head, rest := "", found
	if scheme, behind, ok := strings.Cut(found, ":"); ok && !strings.ContainsAny(scheme, `/\?#`) {
		head = strings.ToLower(scheme)
		switch head {
		case "http", "https", "ftp", "ws", "wss":
			rest = strings.TrimLeft(behind, `/\`)
		default:
			if len(behind) < 2 || strings.Trim(behind[:2], `/\`) != "" {
				return strings.ToLower(found) // mailto and the like
			}
			rest = behind[2:]
		}
		head += "://"
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, ends); i >= 0 {
		authority, path = rest[:i], strings.Replace(rest[i:], `\`, "/", 1)
	}
	host, port := authority[strings.LastIndex(authority, "@")+1:], ""
	if i := strings.LastIndex(host, ":"); i > strings.LastIndex(host, "]") {
		host, port = host[:i], host[i:]
	}
	return head + canonicalHost(host) + port + path
}

func canonicalHost(host string) string {
	if plain, err := url.PathUnescape(host); err == nil && !strings.ContainsAny(plain, `/\?#@:`) {
		host = Plain(plain)
	}
	if d, err := jid.ParseDomain(host); err == nil && !d.IsIP() {
		return d.String()
	}
	return strings.ToLower(host)
}
