package certs

import "net/netip"

// Config says where certificates and trust anchors come from. The zero Config has no certificate of its own and trusts the
// system's anchors.
type Config struct {
	// Store is the directory of the certificates that the gate obtains by itself.
	Store string `yaml:"store" default:"/var/lib/sallyport/certs" doc:"directory for certificates that the gate obtains by itself, and for its account with the authority; made with mode 0700"`
	// ACME says from whom certificates are obtained; nil means that none are.
	ACME *ACME `yaml:"acme" doc:"obtaining certificates from an authority and renewing them (RFC 8555), for the local domains that no certificate of files names; left out: none are obtained"`
	// Files are certificates that somebody else renews.
	Files []File `yaml:"files" doc:"certificates of the local domains that somebody else renews; read again on reload"`
	// POSHListen is where ServePOSH is to be reached; the zero AddrPort means nowhere.
	POSHListen netip.AddrPort `yaml:"posh_listen" doc:"address and port at which https://DOMAIN/.well-known/posh/xmpp-server.json is answered for the local domains: for peers that take a certificate on the word of the domain's web server (RFC 7711); left out: nowhere"`
	// Roots are PEM files with further trust anchors for peers.
	Roots []string `yaml:"roots" doc:"PEM files with further trust anchors for peers"`
	// SystemRoots says whether the system's trust anchors count beside Roots; nil means yes.
	SystemRoots *bool `yaml:"system_roots" doc:"whether the system's trust anchors count beside roots; unless told, they do"`
}

// File is a chain in PEM, leaf first, with its private key.
type File struct {
	// Cert is the file of the chain.
	Cert string `yaml:"cert" doc:"PEM file with the chain, the domain's own certificate first"`
	// Key is the file of the private key; empty when it stands in Cert.
	Key string `yaml:"key" doc:"PEM file with the private key, not encrypted; left out when it stands in cert"`
}

// key is the file that holds the private key.
func (f File) key() string {
	if f.Key == "" {
		return f.Cert
	}
	return f.Key
}

// system says whether the system's anchors count.
func (c Config) system() bool { return c.SystemRoots == nil || *c.SystemRoots }

// Fault is one thing that is wrong with one file.
type Fault struct {
	File   string
	Reason string
	Next   string // what mends it
	Err    error  // the cause below, may be nil
}

// Error returns file, reason and next step in one line.
func (f *Fault) Error() string { return f.File + ": " + f.Reason + "; " + f.Next }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }
