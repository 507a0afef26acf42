package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsTime      = 5 * time.Second // one question to one name server
	maxCNAMEs    = 8               // in one delegation
	maxServers   = 16              // name servers of a zone that are looked at
	maxAddresses = 8               // of each of them
	recordTTL    = 60              // seconds; nobody asks twice
	updateFudge  = 300             // seconds that the server's clock may differ (RFC 8945 §10)
	cleanupTime  = 5 * time.Second // the gate's end waits for it
)

// updater puts the records of dns-01 into a zone (RFC 8555 §8.4, RFC 2136), signed with TSIG, and takes them away again.
type updater struct {
	config    DNSUpdate
	secrets   map[string]string // by the key's canonical name
	resolvers []Resolver
	roots     *x509.CertPool // for those asked over TLS; nil: the system's
	port      uint16         // of the zone's name servers
}

// updater returns the solver of a's section.
func (a *issuer) updater() (*updater, error) {
	resolvers, err := a.config.resolvers()
	if err != nil {
		return nil, err
	}
	return &updater{config: *a.config.DNS, secrets: a.tsig(), resolvers: resolvers, roots: a.resolverRoots, port: a.nsPort}, nil
}

// records are the TXT records to put into one zone.
type records struct {
	zone string
	txt  []*dns.TXT
}

// present implements solver: it returns once the zones' name servers answer with the records.
func (u *updater) present(ctx context.Context, c *client, proofs []proofOfControl) (cleanup func(), err error) {
	var added []records
	cleanup = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		for _, r := range added {
			_ = u.update(ctx, r, false) // what stays behind proves nothing to anybody any more
		}
	}
	zones := make(map[string]*records)
	for _, p := range proofs {
		value, err := c.DNS01ChallengeRecord(p.token)
		if err != nil {
			return cleanup, err
		}
		name, zone, err := u.place(ctx, p.domain)
		if err != nil {
			return cleanup, err
		}
		if zones[zone] == nil {
			zones[zone] = &records{zone: zone}
		}
		zones[zone].txt = append(zones[zone].txt, &dns.TXT{Txt: []string{value},
			Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: recordTTL}})
	}
	for _, zone := range slices.Sorted(maps.Keys(zones)) {
		added = append(added, *zones[zone]) // before it is sent: an answer may get lost
		if err := u.update(ctx, *zones[zone], true); err != nil {
			return cleanup, err
		}
	}
	for _, r := range added {
		if err := u.await(ctx, r); err != nil {
			return cleanup, err
		}
	}
	return cleanup, nil
}

// place finds where the record of a domain belongs: its name, after all CNAMEs, and the zone of that.
func (u *updater) place(ctx context.Context, domain string) (name, zone string, err error) {
	name = dns.CanonicalName("_acme-challenge." + domain)
	seen := []string{name}
	for {
		target, err := u.alias(ctx, name)
		if err != nil {
			return "", "", fmt.Errorf("looking where %s leads: %w", printable(name), err)
		}
		if target == "" {
			break
		}
		if slices.Contains(seen, target) || len(seen) > maxCNAMEs {
			return "", "", fmt.Errorf("the CNAMEs of %s go in a circle or are more than %d; correct them", printable(seen[0]), maxCNAMEs)
		}
		name = target
		seen = append(seen, name)
	}
	if zone = dns.CanonicalName(u.config.Zone); u.config.Zone == "" {
		if zone, err = u.zoneOf(ctx, name); err != nil {
			return "", "", err
		}
	}
	if !dns.IsSubDomain(zone, name) {
		return "", "", fmt.Errorf("%s, where the record for %s belongs, is not in the zone %s; add the CNAME _acme-challenge.%s, or correct certs.acme.dns.zone",
			printable(name), domain, printable(zone), domain)
	}
	return name, zone, nil
}

// alias returns what a name is a CNAME for; empty when it is none.
func (u *updater) alias(ctx context.Context, name string) (string, error) {
	answer, err := u.resolve(ctx, name, dns.TypeCNAME)
	if err != nil {
		return "", err
	}
	for _, rr := range answer {
		if cname, ok := rr.(*dns.CNAME); ok && dns.CanonicalName(cname.Hdr.Name) == name {
			return dns.CanonicalName(cname.Target), nil
		}
	}
	return "", nil
}

// zoneOf asks the server that takes updates which of its zones a name lies in.
func (u *updater) zoneOf(ctx context.Context, name string) (string, error) {
	m := new(dns.Msg).SetQuestion(name, dns.TypeSOA)
	m.RecursionDesired = false
	answer, err := exchange(ctx, &dns.Client{Net: "tcp"}, m, u.config.Server)
	if err != nil {
		return "", fmt.Errorf("asking %s for the zone of %s: %w", u.config.Server, printable(name), err)
	}
	for _, rr := range slices.Concat(answer.Answer, answer.Ns) {
		if soa, ok := rr.(*dns.SOA); ok && answer.Authoritative && soa.Hdr.Name != "." && dns.IsSubDomain(soa.Hdr.Name, name) {
			return dns.CanonicalName(soa.Hdr.Name), nil
		}
	}
	return "", fmt.Errorf("%s has no zone for %s (%s); set certs.acme.dns.server to the primary of that zone, or certs.acme.dns.zone",
		u.config.Server, printable(name), dns.RcodeToString[answer.Rcode])
}

// update adds the records to their zone, or takes them away.
func (u *updater) update(ctx context.Context, r records, add bool) error {
	m := new(dns.Msg).SetUpdate(r.zone)
	var all []dns.RR
	for _, txt := range r.txt {
		all = append(all, dns.Copy(txt)) // Remove changes what it is given
	}
	if add {
		m.Insert(all)
	} else {
		m.Remove(all)
	}
	key := u.config.TSIG
	m.SetTsig(dns.CanonicalName(key.Name), dns.Fqdn(key.Algorithm), updateFudge, time.Now().Unix())
	ctx, cancel := context.WithTimeout(ctx, 2*dnsTime)
	defer cancel()
	client := &dns.Client{Net: "tcp", Timeout: dnsTime, TsigSecret: u.secrets}
	answer, _, err := client.ExchangeContext(ctx, m, u.config.Server.String())
	what := fmt.Sprintf("updating the zone %s at %s", printable(r.zone), u.config.Server)
	switch {
	case answer != nil && answer.Rcode != dns.RcodeSuccess:
		return fmt.Errorf("%s: %s", what, refusal(answer, key.Name))
	case err != nil:
		return fmt.Errorf("%s: %w", what, err)
	case answer.IsTsig() == nil: // RFC 8945 §5.3
		return fmt.Errorf("%s: the answer is not signed, so it may be anybody's", what)
	}
	return nil
}

// refusal says why an update was refused, and what to do.
func refusal(answer *dns.Msg, key string) string {
	code := dns.RcodeToString[answer.Rcode]
	if code == "" {
		code = fmt.Sprintf("code %d", answer.Rcode)
	}
	tsig := answer.IsTsig()
	switch {
	case tsig != nil && tsig.Error == dns.RcodeBadTime:
		return "its clock and ours differ by more than 5 minutes (BADTIME); set them right"
	case tsig != nil && tsig.Error == dns.RcodeBadKey:
		return fmt.Sprintf("it does not know the key %s with this algorithm (BADKEY); correct certs.acme.dns.tsig or the server's key statement", printable(key))
	case tsig != nil && tsig.Error == dns.RcodeBadSig:
		return fmt.Sprintf("the key %s has another secret there (BADSIG); give both sides the same", printable(key))
	case answer.Rcode == dns.RcodeRefused:
		return fmt.Sprintf("REFUSED; allow the key %s in the zone's update-policy, for TXT at this name", printable(key))
	case answer.Rcode == dns.RcodeNotAuth, answer.Rcode == dns.RcodeNotZone:
		return code + "; is it the primary server of this zone?"
	}
	return code
}

// await returns once the name servers of a zone answer with all the records. A server that does not answer at all is waited for
// during half of the time, and then left out as long as another answers.
func (u *updater) await(ctx context.Context, r records) error {
	servers, err := u.servers(ctx, r.zone)
	if err != nil {
		return err
	}
	wait := u.config.Wait
	if wait <= 0 {
		wait = 2 * time.Minute
	}
	started := time.Now()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for delay := 250 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
		silent, lacking := u.look(ctx, servers, r)
		switch waited := time.Since(started); {
		case lacking == "" && len(silent) == 0,
			lacking == "" && len(silent) < len(servers) && waited > wait/2:
			return nil
		case waited > wait && lacking != "":
			return fmt.Errorf("the name server %s of %s still has no new record after %s; does it follow %s, or does certs.acme.dns.wait have to be longer?",
				lacking, printable(r.zone), wait, u.config.Server)
		case waited > wait:
			return fmt.Errorf("no name server of %s answers: %s", printable(r.zone), strings.Join(silent[:min(len(silent), 5)], ", "))
		}
		pause.Reset(delay)
	}
}

// look asks all servers once, at the same time: which say nothing, and one that answers without the records, if there is any.
func (u *updater) look(ctx context.Context, servers []netip.AddrPort, r records) (silent []string, lacking string) {
	type view struct{ silent, lacking bool }
	views := make([]view, len(servers))
	var asking sync.WaitGroup
	for i, server := range servers {
		asking.Go(func() {
			for _, txt := range r.txt {
				if has, err := hasRecord(ctx, server, txt); err != nil || !has {
					views[i] = view{silent: err != nil, lacking: err == nil}
					return
				}
			}
		})
	}
	asking.Wait()
	for i, server := range servers {
		switch {
		case views[i].silent:
			silent = append(silent, server.String())
		case views[i].lacking && lacking == "":
			lacking = server.String()
		}
	}
	return silent, lacking
}

func hasRecord(ctx context.Context, server netip.AddrPort, want *dns.TXT) (bool, error) {
	m := new(dns.Msg).SetQuestion(want.Hdr.Name, dns.TypeTXT)
	m.RecursionDesired = false
	answer, err := exchange(ctx, new(dns.Client), m, server)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(answer.Answer, func(rr dns.RR) bool {
		txt, ok := rr.(*dns.TXT)
		return ok && strings.Join(txt.Txt, "") == want.Txt[0]
	}), nil
}

// servers are the addresses of a zone's name servers.
func (u *updater) servers(ctx context.Context, zone string) ([]netip.AddrPort, error) {
	answer, err := u.resolve(ctx, zone, dns.TypeNS)
	if err != nil {
		return nil, fmt.Errorf("looking for the name servers of %s: %w", printable(zone), err)
	}
	var all []netip.AddrPort
	for i, rr := range answer {
		ns, ok := rr.(*dns.NS)
		if !ok || i >= maxServers {
			continue
		}
		var addrs []netip.AddrPort
		for _, kind := range []uint16{dns.TypeA, dns.TypeAAAA} {
			found, err := u.resolve(ctx, dns.CanonicalName(ns.Ns), kind)
			if err != nil {
				continue // the others may do
			}
			addrs = append(addrs, addressesOf(found, u.port)...)
		}
		all = append(all, addrs[:min(len(addrs), maxAddresses)]...)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("the name servers of %s have no address; are its NS records right?", printable(zone))
	}
	return all, nil
}

func addressesOf(answer []dns.RR, port uint16) (all []netip.AddrPort) {
	for _, rr := range answer {
		var addr netip.Addr
		switch rr := rr.(type) {
		case *dns.A:
			addr, _ = netip.AddrFromSlice(rr.A.To4())
		case *dns.AAAA:
			addr, _ = netip.AddrFromSlice(rr.AAAA)
		}
		if addr.IsValid() {
			all = append(all, netip.AddrPortFrom(addr.Unmap(), port))
		}
	}
	return all
}

// resolve asks the resolvers in turn. A name that does not exist has no records.
func (u *updater) resolve(ctx context.Context, name string, kind uint16) ([]dns.RR, error) {
	var faults []error
	for _, resolver := range u.resolvers {
		m := new(dns.Msg).SetQuestion(name, kind)
		client := new(dns.Client)
		if resolver.TLS != "" { // RFC 7858
			client = &dns.Client{Net: "tcp-tls", TLSConfig: &tls.Config{ServerName: resolver.TLS, RootCAs: u.roots}}
		}
		answer, err := exchange(ctx, client, m, resolver.Addr)
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("%s: %w", resolver.Addr, err))
		case answer.Rcode == dns.RcodeSuccess, answer.Rcode == dns.RcodeNameError:
			return answer.Answer, nil
		default:
			faults = append(faults, fmt.Errorf("%s says %s", resolver.Addr, dns.RcodeToString[answer.Rcode]))
		}
	}
	if len(faults) == 0 {
		return nil, errors.New("there is no resolver")
	}
	return nil, faults[0]
}

// exchange puts one question to one server, over TCP too if its answer over UDP is cut off. Only an answer to the question counts.
func exchange(ctx context.Context, client *dns.Client, m *dns.Msg, server netip.AddrPort) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsTime)
	defer cancel()
	client.Timeout = dnsTime
	if m.IsEdns0() == nil {
		m.SetEdns0(1232, false)
	}
	answer, _, err := client.ExchangeContext(ctx, m, server.String())
	if err == nil && answer.Truncated && client.Net == "" {
		return exchange(ctx, &dns.Client{Net: "tcp"}, m, server)
	}
	if err != nil {
		return nil, err
	}
	if !answer.Response || len(answer.Question) != 1 || answer.Question[0].Qtype != m.Question[0].Qtype ||
		dns.CanonicalName(answer.Question[0].Name) != dns.CanonicalName(m.Question[0].Name) {
		return nil, errors.New("its answer is to another question")
	}
	return answer, nil
}
