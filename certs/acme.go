package certs

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/crypto/acme"
)

// The challenges of RFC 8555 §8 and RFC 8737 by which an authority is shown that a domain is ours.
const (
	TLSALPN01 = "tls-alpn-01"
	HTTP01    = "http-01"
	DNS01     = "dns-01"
)

// PerDomain is the value of ACME.Per that asks for one certificate for each domain.
const PerDomain = "domain"

// ACME says from whom certificates are obtained, and how.
type ACME struct {
	Directory   string `yaml:"directory" doc:"https URL of the authority's directory, such as https://acme-v02.api.letsencrypt.org/directory"`
	Email       string `yaml:"email" doc:"where the authority may write to; it is told when the account is made"`
	AcceptTerms bool   `yaml:"accept_terms" default:"false" doc:"that you have read the authority's terms of service and accept them; it must be true"`
	Challenge   string `yaml:"challenge" default:"tls-alpn-01" oneof:"tls-alpn-01|http-01|dns-01" doc:"how the authority is shown that a domain is ours: it connects to port 443 of the domain, or to its port 80, or asks for a DNS record"`
	Per         string `yaml:"per" default:"backend" oneof:"backend|domain" doc:"backend: one certificate with all domains of a backend; domain: one for each domain"`
	Profile     string `yaml:"profile" doc:"kind of certificate, by the authority's own name for it, such as shortlived; left out: the authority chooses"`
	ReuseKey    bool   `yaml:"reuse_key" default:"false" doc:"renew with the same private key, for TLSA records of our own and for peers that pin our key; false: each certificate has a new one"`
	Root        string `yaml:"root" doc:"PEM file with the trust anchors of a private authority's own server; left out: the system's count"`
	EAB         *EAB   `yaml:"eab" doc:"an account that was arranged with the authority beforehand (RFC 8555 §7.3.4); left out: there is none"`

	TLSALPNListen netip.AddrPort `yaml:"tls_alpn_listen" default:"[::]:443" doc:"with tls-alpn-01, where the authority is answered; opened unless an outside door or posh_listen has the same address, which then answers too"`
	HTTPListen    netip.AddrPort `yaml:"http_listen" default:"[::]:80" doc:"with http-01, where the authority is answered; everything else gets 404"`
	DNS           *DNSUpdate     `yaml:"dns" doc:"with dns-01, where the records are put; left out with every other challenge"`

	// Domains are the local domains of each backend, in A-labels. Those that a certificate of Files names are not asked for.
	Domains [][]string `yaml:"-"`
	// Resolvers are asked where a delegated _acme-challenge leads; without any, those of /etc/resolv.conf.
	Resolvers []Resolver `yaml:"-"`
	// ResolverRoots is a PEM file with the trust anchors for Resolvers that are asked over TLS; left out, the system's count.
	ResolverRoots string `yaml:"-"`
}

// Resolver is a name server that resolves.
type Resolver struct {
	Addr netip.AddrPort
	TLS  string // it is asked over TLS and has a certificate for this name or address; empty: in clear
}

// EAB is an account at an authority that takes no strangers.
type EAB struct {
	KID     string `yaml:"kid" doc:"the account's name, as the authority gave it"`
	KeyFile string `yaml:"key_file" doc:"file with the account's key in base64url, as the authority gave it; mode 0640 or less"`
}

// DNSUpdate says where the records of dns-01 are put (RFC 2136).
type DNSUpdate struct {
	Server netip.AddrPort `yaml:"server" doc:"the name server that takes updates: the primary of the zone that _acme-challenge lies in, or leads to by CNAME"`
	Zone   string         `yaml:"zone" doc:"that zone; left out: the server is asked"`
	TSIG   TSIG           `yaml:"tsig" doc:"the key that signs the updates (RFC 8945)"`
	Wait   time.Duration  `yaml:"wait" default:"2m" doc:"how long the zone's name servers may take to answer with a new record"`
}

// TSIG is a key shared with a name server.
type TSIG struct {
	Name       string `yaml:"name" doc:"the key's name, as the server knows it"`
	Algorithm  string `yaml:"algorithm" default:"hmac-sha256" oneof:"hmac-sha256|hmac-sha384|hmac-sha512" doc:"the key's algorithm"`
	SecretFile string `yaml:"secret_file" doc:"file with the key: its base64 alone, or what tsig-keygen writes; mode 0640 or less"`
}

// challenge is the kind in force.
func (a *ACME) challenge() string {
	if a.Challenge == "" {
		return TLSALPN01
	}
	return a.Challenge
}

// Listen is where the authority is to be answered; the zero AddrPort with dns-01, which needs no socket.
func (a *ACME) Listen() netip.AddrPort {
	switch a.challenge() {
	case TLSALPN01:
		return a.TLSALPNListen
	case HTTP01:
		return a.HTTPListen
	}
	return netip.AddrPort{}
}

// issuer is an ACME section that was read without fault. Its secrets stand in functions, which nothing can print.
type issuer struct {
	config ACME
	host   string         // of the directory, for people
	store  store          // what belongs to this directory
	roots  *x509.CertPool // nil: the system's
	eab    func() *acme.ExternalAccountBinding
	tsig   func() map[string]string
	wanted []wanted
	clock  func() time.Time

	resolverRoots *x509.CertPool // nil: the system's
	nsPort        uint16         // where name servers are asked; tests have another
}

// wanted is one certificate that there should be: the names in it, of which the first is its name in the store.
type wanted []string

// maxPerCertificate is how many names one certificate is asked for. Public authorities take no more.
const maxPerCertificate = 100

// prepareIssuer reads what an ACME section points at and changes nothing.
func prepareIssuer(c Config, files *material, clock func() time.Time) (*issuer, error) {
	a := &issuer{config: *c.ACME, clock: clock, nsPort: 53, eab: func() *acme.ExternalAccountBinding { return nil }}
	directory, err := url.Parse(a.config.Directory)
	if err != nil || directory.Scheme != "https" || directory.Host == "" {
		return nil, fmt.Errorf("certs.acme.directory %q is no https URL", printable(a.config.Directory))
	}
	a.host = directory.Hostname()
	sum := sha256.Sum256([]byte(a.config.Directory))
	a.store = newStore(filepath.Join(c.Store, a.host+"-"+hex.EncodeToString(sum[:4])))
	a.wanted = a.config.wanted(files)
	return a, errors.Join(a.readRoots(), a.readEAB(), a.readTSIG())
}

// wanted lists the certificates to obtain, in the order of the configuration.
func (a *ACME) wanted(files *material) []wanted {
	var all []wanted
	for _, domains := range a.Domains {
		missing := slices.DeleteFunc(slices.Clone(domains), func(d string) bool { return files.names(d) })
		size := maxPerCertificate
		if a.Per == PerDomain {
			size = 1
		}
		for part := range slices.Chunk(missing, size) {
			all = append(all, wanted(part))
		}
	}
	return all
}

func (a *issuer) readRoots() (err error) {
	var more error
	a.roots, err = readPool(a.config.Root)
	a.resolverRoots, more = readPool(a.config.ResolverRoots)
	return errors.Join(err, more)
}

// readPool reads trust anchors; nil when there is no file for them.
func readPool(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	chain, err := readChain(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, cert := range chain {
		pool.AddCert(cert)
	}
	return pool, nil
}

func (a *issuer) readEAB() error {
	if a.config.EAB == nil {
		return nil
	}
	path := a.config.EAB.KeyFile
	text, err := readSecret(path)
	if err != nil {
		return err
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(string(text), "="))
	if err != nil || len(key) < 16 {
		return &Fault{File: path, Reason: "it holds no key of at least 16 bytes in base64url", Next: "put the authority's HMAC key there as it was given"}
	}
	binding := &acme.ExternalAccountBinding{KID: a.config.EAB.KID, Key: key}
	a.eab = func() *acme.ExternalAccountBinding { return binding }
	return nil
}

func (a *issuer) readTSIG() error {
	if a.config.challenge() != DNS01 {
		return nil
	}
	if a.config.DNS == nil {
		return errors.New("certs.acme.dns is missing; dns-01 needs it")
	}
	for key, name := range map[string]string{"zone": cmp.Or(a.config.DNS.Zone, "."), "tsig.name": a.config.DNS.TSIG.Name} {
		if _, ok := dns.IsDomainName(name); !ok {
			return fmt.Errorf("certs.acme.dns.%s: %q is no name as in DNS", key, printable(name))
		}
	}
	path := a.config.DNS.TSIG.SecretFile
	text, err := readSecret(path)
	if err != nil {
		return err
	}
	// tsig-keygen writes: key "name" { algorithm …; secret "…"; };
	if _, rest, ok := bytes.Cut(text, []byte(`secret "`)); ok {
		text, _, _ = bytes.Cut(rest, []byte{'"'})
	}
	encoded := string(text)
	if key, err := base64.StdEncoding.DecodeString(encoded); err != nil || len(key) < 16 {
		return &Fault{File: path, Reason: "it holds no key of at least 16 bytes in base64", Next: "make one: tsig-keygen -a hmac-sha256 NAME"}
	}
	secrets := map[string]string{dns.CanonicalName(a.config.DNS.TSIG.Name): encoded}
	a.tsig = func() map[string]string { return secrets }
	return nil
}

// readSecret reads a small file that nobody may read but its owner and the group that the owner chose, and takes white space off its ends.
func readSecret(path string) ([]byte, error) {
	text, info, err := readFileInfo(path)
	switch {
	case err != nil:
		return nil, err
	case info.Mode().Perm()&0o037 != 0:
		return nil, &Fault{File: path, Reason: fmt.Sprintf("its mode %#o lets others read or change it", info.Mode().Perm()), Next: "chmod 640 " + path}
	}
	return bytes.TrimSpace(text), nil
}

// reach says what a person has to look at when the authority could not verify a domain.
func (a *ACME) reach(domain string) string {
	switch a.challenge() {
	case HTTP01:
		return fmt.Sprintf("port 80 of %s, at every address in its A and AAAA records, must lead to certs.acme.http_listen, %s", domain, a.HTTPListen)
	case DNS01:
		return fmt.Sprintf("look at what the world sees: dig TXT _acme-challenge.%s", domain)
	}
	return fmt.Sprintf("port 443 of %s, at every address in its A and AAAA records, must lead to certs.acme.tls_alpn_listen, %s, without TLS being ended on the way",
		domain, a.TLSALPNListen)
}

// resolvers are the servers to ask where names lead.
func (a *ACME) resolvers() ([]Resolver, error) {
	if len(a.Resolvers) > 0 {
		return a.Resolvers, nil
	}
	system, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("finding a resolver: %w", err)
	}
	var all []Resolver
	for _, server := range system.Servers {
		if ap, err := netip.ParseAddrPort(net.JoinHostPort(server, system.Port)); err == nil {
			all = append(all, Resolver{Addr: ap})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("/etc/resolv.conf names no resolver; set outside.resolver")
	}
	return all, nil
}
