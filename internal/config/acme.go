package config

import (
	"net/mail"
	"net/netip"
	"net/url"
	"slices"

	"sallyport/certs"
	"sallyport/internal/config/document"
)

// challengeListener is the socket at which an authority is answered, unless an outside door or that for POSH has it: these answer too.
func (c *Config) challengeListener() (listener, bool) {
	a := c.Certs.ACME
	if a == nil || !a.Listen().IsValid() {
		return listener{}, false
	}
	if a.Challenge == certs.HTTP01 {
		return listener{"certs.acme.http_listen", a.HTTPListen}, true
	}
	for _, at := range slices.Concat(c.Outside.DirectTLS, c.Outside.Listen, []netip.AddrPort{c.Certs.POSHListen}) {
		if at.IsValid() && clash(at, a.TLSALPNListen) {
			return listener{}, false
		}
	}
	return listener{"certs.acme.tls_alpn_listen", a.TLSALPNListen}, true
}

// ChallengeListen is where an authority's challenges need a socket of their own, and the key that says so; empty where they need none.
func (c *Config) ChallengeListen() (path, addr string) {
	l, ok := c.challengeListener()
	if !ok {
		return "", ""
	}
	return l.path, l.at.String()
}

// ACMEFiles are the files that certs.acme names, by key.
func (c *Config) ACMEFiles() map[string]string {
	files := make(map[string]string)
	if a := c.Certs.ACME; a != nil {
		files["certs.acme.root"] = a.Root
		if a.EAB != nil {
			files["certs.acme.eab.key_file"] = a.EAB.KeyFile
		}
		if a.DNS != nil {
			files["certs.acme.dns.tsig.secret_file"] = a.DNS.TSIG.SecretFile
		}
	}
	return files
}

// checkACME looks for what certs.acme lacks and for what contradicts itself.
func (r report) checkACME(c *Config) {
	a := c.Certs.ACME
	if a == nil {
		return
	}
	const path = "certs.acme"
	if u, err := url.Parse(a.Directory); a.Directory == "" {
		r.About(path, "directory is missing; for example:  directory: https://acme-v02.api.letsencrypt.org/directory")
	} else if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		r.About(path+".directory", "%s must be an https URL", document.Quoted(a.Directory))
	}
	if !a.AcceptTerms && !r.Told(path+".accept_terms") {
		r.About(path, "read the authority's terms of service and say  accept_terms: true")
	}
	if at, err := mail.ParseAddress(a.Email); a.Email != "" && (err != nil || at.Address != a.Email) {
		r.About(path+".email", "%s must be an address, such as admin@corp.example", document.Quoted(a.Email))
	}
	if c.Certs.Store == "" {
		r.About("certs.store", "it cannot be empty with certs.acme")
	}
	if a.EAB != nil {
		r.missing(path+".eab", "kid", a.EAB.KID, "kid-1")
		r.missing(path+".eab", "key_file", a.EAB.KeyFile, "eab.key")
	}
	r.checkDNSUpdate(a)
}

func (r report) checkDNSUpdate(a *certs.ACME) {
	const path = "certs.acme.dns"
	switch {
	case a.DNS == nil && a.Challenge == certs.DNS01:
		r.About("certs.acme.challenge", "dns-01 needs certs.acme.dns, with the name server that takes updates")
		return
	case a.DNS == nil:
		return
	case a.Challenge != certs.DNS01:
		r.About(path, "it is for dns-01, and the challenge is %s; leave it out or set challenge: dns-01", a.Challenge)
	}
	if !a.DNS.Server.IsValid() && !r.Told(path+".server") {
		r.About(path, "server is missing; for example:  server: 192.0.2.53:53")
	}
	if a.DNS.Wait <= 0 && !r.Told(path+".wait") {
		r.About(path+".wait", "it must be more than zero")
	}
	r.missing(path+".tsig", "name", a.DNS.TSIG.Name, "sallyport")
	r.missing(path+".tsig", "secret_file", a.DNS.TSIG.SecretFile, "tsig.key")
}

// missing tells of a key of a section that has to be there.
func (r report) missing(path, key, value, example string) {
	if value == "" && !r.Told(path+"."+key) {
		r.About(path, "%s is missing; for example:  %s: %s", key, key, example)
	}
}

// finishACME fills in what certs.acme takes from the rest of the configuration, and returns its paths.
func (c *Config) finishACME(a *certs.ACME) []*string {
	for _, b := range c.Backends {
		var domains []string
		for _, d := range b.Domains {
			domains = append(domains, d.ASCII())
		}
		a.Domains = append(a.Domains, domains)
	}
	for _, s := range c.Outside.Servers {
		a.Resolvers = append(a.Resolvers, certs.Resolver{Addr: s.Addr, TLS: s.TLS})
	}
	a.ResolverRoots = c.Outside.ServerRoots
	paths := []*string{&a.Root, &a.ResolverRoots}
	if a.EAB != nil {
		paths = append(paths, &a.EAB.KeyFile)
	}
	if a.DNS != nil {
		paths = append(paths, &a.DNS.TSIG.SecretFile)
	}
	return paths
}
