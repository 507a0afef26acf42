package integration_test

import (
	"strings"
	"testing"

	"sallyport/internal/xmpptest/lab"
)

// certCase is a certificate that a peer shows.
type certCase struct {
	name   string // a label of a domain name
	what   string
	flaw   lab.Flaw
	worth  worth
	why    string // what the record says is wrong with it
	unreal string // why ejabberd cannot be brought to show it
}

// worth is what a certificate is worth to the gate.
type worth uint8

const (
	nothing  worth = iota // it proves nothing: as good as none
	identity              // it proves the domain
	alarm                 // it was taken back: nobody talks
)

// firstRevoked is shown before all others, so that the gate hears of the authority's list.
var firstRevoked = certCase{name: "first", flaw: lab.Revoked}

var certCases = []certCase{
	{name: "good", what: "good: from a trusted authority, marked for servers and clients, the domain as DNS-ID", flaw: lab.Sound, worth: identity},
	{name: "self-signed", what: "self-signed", flaw: lab.SelfSigned, why: "it is self-signed"},
	{name: "expired", what: "ended yesterday", flaw: lab.Expired, why: "certificate has expired"},
	{name: "wrong-name", what: "for another domain; the domain is the common name", flaw: lab.WrongName, why: "it names somebody-else.example"},
	{name: "wrong-authority", what: "from an authority that the gate does not know", flaw: lab.WrongAuthority, why: "not vouched for by a trust anchor"},
	{name: "servers-only", what: "marked for servers only, as public authorities issue them", flaw: lab.ServerAuthOnly, worth: identity},
	{name: "clients-only", what: "marked for clients only", flaw: lab.ClientAuthOnly, why: "certificate is not for TLS servers"},
	{name: "listed", what: "good; the authority's list of what it took back was read and does not have it", flaw: lab.Listed, worth: identity},
	{name: "revoked", what: "the authority's list of what it took back has it", flaw: lab.Revoked, worth: alarm, why: "the certificate was revoked by its authority"},
	{name: "srv-id", what: "the domain as SRV-ID and nothing else", flaw: lab.SRVOnly, worth: identity},
	{name: "xmpp-addr", what: "the domain as xmppAddr and nothing else", flaw: lab.XMPPAddrOnly, worth: identity},
	{name: "wildcard", what: "a wildcard in the place of the first label", flaw: lab.Sound, worth: identity},
	{name: "bücher", what: "of an internationalized domain, by its A-label", flaw: lab.Sound, worth: identity},
	{name: "chain", what: "an attacker's own, and behind it in the chain a good one of the domain", flaw: lab.VictimInChain, why: "it names somebody-else.example",
		unreal: "ejabberd does not start with it; a pretend server shows it in its place"},
}

// rule is the one of policy that refuses the certificate.
func (c certCase) rule() string {
	if c.worth == alarm {
		return "(rule revoked)"
	}
	return "(rule proof-floor)"
}

func (c certCase) domain(peer, asked string) string {
	return c.name + "." + asked + "." + peer + ".example"
}

func (c certCase) issue(t *testing.T, ca *lab.CA, domain string) *lab.Cert {
	t.Helper()
	if c.name == "wildcard" {
		_, zone, _ := strings.Cut(domain, ".")
		return ca.Issue(t, c.flaw, "*."+zone)
	}
	return ca.Issue(t, c.flaw, ascii(t, domain))
}

// shownBy are the cases for which the peer has a domain.
func shownBy(peer string) []certCase {
	var all []certCase
	if peer == "prosody" {
		all = append(all, firstRevoked)
	}
	for _, c := range certCases {
		if peer == "prosody" || (peer == "pretend") == (c.unreal != "") {
			all = append(all, c)
		}
	}
	return all
}

// row is one line of docs/interop.md.
type row struct {
	show        certCase
	peer        string
	local       string  // whom it talks with
	direction   string  // of the message: out or in
	any, strict outcome // by what the gate asks of the peer
}

// outcome is what becomes of a message.
type outcome struct {
	proof string // of the peer, as the record has it; "": the message is refused, and its sender told
	took  string // how the one who called was authenticated, by the peer's own log
}

func (r row) domain(asked string) string { return r.show.domain(r.peer, asked) }

func (r row) want(asked string) outcome {
	if asked == "strict" {
		return r.strict
	}
	return r.any
}

// interopTable is what has to happen. docs/interop.md shows it and TestInterop proves it.
func interopTable() []row {
	var rows []row
	for _, peer := range []string{"prosody", "ejabberd", "pretend"} {
		for _, c := range shownBy(peer) {
			for _, direction := range []string{"out", "in"} {
				r := row{show: c, peer: peer, local: local, direction: direction}
				switch {
				case c.name == firstRevoked.name:
					continue
				case c.worth == identity:
					r.any = outcome{"pkix", "EXTERNAL"}
					r.strict = r.any
				case c.worth == nothing && direction == "out": // it takes ours all the same
					r.any = outcome{"none", "EXTERNAL"}
				case c.worth == nothing:
					r.any = outcome{"dialback+tls", "dialback"}
				}
				if peer == "pretend" && r.any.took != "" {
					r.any.took = "dialback" // it knows nothing else
				}
				rows = append(rows, r)
			}
		}
	}
	return append(rows, ownRows()...)
}

// ownRows are about the gate's certificate that is marked for servers only: Prosody takes it from a client, ejabberd refuses it and
// goes on by dialback ([I10]).
func ownRows() []row {
	var rows []row
	for _, own := range []struct{ peer, took string }{{"prosody", "EXTERNAL"}, {"ejabberd", "dialback"}} {
		o := outcome{"pkix", own.took}
		rows = append(rows, row{show: certCases[0], peer: own.peer, local: rooms, direction: "out", any: o, strict: o})
	}
	return rows
}
