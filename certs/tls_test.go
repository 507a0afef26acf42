package certs

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"testing"
)

// handshake joins two configurations over a pipe and returns what each side saw, and the client's error before the server's.
func handshake(t *testing.T, server, client *tls.Config) (atServer, atClient tls.ConnectionState, err error) {
	t.Helper()
	a, b := net.Pipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x")) // in TLS 1.3 the client's certificate and the tickets come after its handshake
		}
		if err != nil {
			a.Close()
		}
		done <- err
	}()
	clientErr := c.Handshake()
	if clientErr == nil {
		_, clientErr = io.ReadFull(c, make([]byte, 1))
	}
	if clientErr != nil {
		b.Close()
	}
	serverErr := <-done
	a.Close()
	b.Close()
	return s.ConnectionState(), c.ConnectionState(), errors.Join(clientErr, serverErr)
}

// TestServerChooses: the domain of the stream first, then SNI, then the first certificate ([T04], [M08]).
func TestServerChooses(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	first, firstCert := f.pair(root, "first.pem", names(san{dns: []string{"first.example"}}))
	corp, corpCert := f.pair(root, "corp.pem", names(san{dns: []string{"corp.example"}}))
	srv, srvCert := f.pair(root, "srv.pem", names(san{srv: []string{"_xmpp-server.srv.example"}}))
	m := mustNew(t, Config{Files: []File{first, corp, srv}, SystemRoots: off()})
	tests := []struct {
		name, domain, sni string
		want              *x509.Certificate
	}{
		{"domain", "corp.example", "", corpCert},
		{"domain before SNI", "corp.example", "first.example", corpCert},
		{"SNI for an unknown domain", "other.example", "corp.example", corpCert},
		{"SNI on direct TLS", "", "corp.example", corpCert},
		{"SNI of a certificate with SRV-ID only", "", "srv.example", srvCert},
		{"neither", "", "", firstCert},
		{"unknown SNI", "", "other.example", firstCert},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := &tls.Config{ServerName: tt.sni, InsecureSkipVerify: true}
			_, seen, err := handshake(t, m.ServerConfig(tt.domain, true), client)
			if err != nil {
				t.Fatal(err)
			}
			if !seen.PeerCertificates[0].Equal(tt.want) {
				t.Errorf("shown: %v", seen.PeerCertificates[0].DNSNames)
			}
		})
	}
}

// TestServerKeyKinds: with two kinds of key for one domain, a peer gets the one it can use.
func TestServerKeyKinds(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	corp := names(san{dns: []string{"corp.example"}})
	edChain, _ := root.issueFor(t, ed, corp)
	rsaChain, _ := root.issueFor(t, rsaKey, corp)
	m := mustNew(t, Config{Files: []File{f.put("ed.pem", ed, edChain...), f.put("rsa.pem", rsaKey, rsaChain...)}, SystemRoots: off()})
	rsaOnly := &tls.Config{InsecureSkipVerify: true, ServerName: "other.example", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}}
	for _, tt := range []struct {
		name   string
		client *tls.Config
		want   *x509.Certificate
	}{{"modern", &tls.Config{InsecureSkipVerify: true}, edChain[0]}, {"RSA only", rsaOnly, rsaChain[0]}} {
		_, seen, err := handshake(t, m.ServerConfig("corp.example", true), tt.client)
		if err != nil || !seen.PeerCertificates[0].Equal(tt.want) {
			t.Errorf("%s: %v, %v", tt.name, seen.PeerCertificates, err)
		}
	}
	// The same for the certificate of a client, whatever authorities the server lists.
	request := &tls.CertificateRequestInfo{Version: tls.VersionTLS13, SignatureSchemes: []tls.SignatureScheme{tls.PSSWithSHA256}, AcceptableCAs: [][]byte{{0x30, 0}}}
	if got, err := m.ClientConfig("corp.example", "partner.example").GetClientCertificate(request); err != nil || !leafOf(t, got).Equal(rsaChain[0]) {
		t.Errorf("to a server that knows RSA only: %v, %v", got, err)
	}
}

func TestBothRolesShareTheFloor(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	corp, _ := f.pair(root, "corp.pem", names(san{dns: []string{"corp.example"}}))
	m := mustNew(t, Config{Files: []File{corp}, SystemRoots: off()})
	for _, c := range []*tls.Config{m.ServerConfig("", true), m.ServerConfig("corp.example", false), m.ClientConfig("corp.example", "partner.example")} {
		if c.MinVersion != tls.VersionTLS12 || c.MaxVersion != 0 || len(c.CipherSuites) != 6 || c.CurvePreferences != nil || c.Renegotiation != tls.RenegotiateNever {
			t.Errorf("[T06] minimum %s, %d suites, renegotiation %d", tls.VersionName(c.MinVersion), len(c.CipherSuites), c.Renegotiation)
		}
		if !c.DynamicRecordSizingDisabled {
			t.Error("a batch of stanzas leaves in many small records")
		}
	}
}

// TestServerProtocol: TLS 1.2 at the least, with ECDHE and AEAD alone; 1.3 preferred ([T06]).
func TestServerProtocol(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	chain, _ := root.issueFor(t, key, names(san{dns: []string{"corp.example"}}))
	m := mustNew(t, Config{Files: []File{f.put("corp.pem", key, chain...)}, SystemRoots: off()})
	tests := []struct {
		name    string
		client  *tls.Config
		version uint16 // 0: refused
		alpn    string
	}{
		{"modern", &tls.Config{}, tls.VersionTLS13, ""},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, tls.VersionTLS12, ""},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, 0, ""},
		{"CBC", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}}, 0, ""},
		{"RSA key exchange", &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}}, 0, ""},
		{"ALPN of servers", &tls.Config{NextProtos: []string{ALPN}}, tls.VersionTLS13, ALPN},
		{"ALPN of something else", &tls.Config{NextProtos: []string{"h2"}}, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := tt.client.Clone()
			client.InsecureSkipVerify = true
			_, seen, err := handshake(t, m.ServerConfig("", true), client)
			if (err == nil) != (tt.version != 0) || err == nil && (seen.Version != tt.version || seen.NegotiatedProtocol != tt.alpn) {
				t.Errorf("%s, ALPN %q, %v", tls.VersionName(seen.Version), seen.NegotiatedProtocol, err)
			}
		})
	}
}

// TestClientCertificate: ours is shown when the peer asks, the peer's need not exist, and neither handshake judges ([T04]).
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	corp, corpCert := f.pair(root, "corp.pem", names(san{dns: []string{"corp.example"}}))
	m := mustNew(t, Config{Files: []File{corp}, SystemRoots: off()})
	partner, _ := f.pair(newRoot(t, "Stranger"), "partner.pem", names(san{dns: []string{"partner.example"}}), dated(-2e12, -1e12))
	peer := mustNew(t, Config{Files: []File{partner}, SystemRoots: off()})
	picky := peer.ServerConfig("partner.example", true)
	picky.ClientCAs = x509.NewCertPool()
	picky.ClientCAs.AddCert(newRoot(t, "Somebody Else").cert)

	tests := []struct {
		name   string
		server *tls.Config
		local  string
		want   *x509.Certificate
	}{
		{"asked", peer.ServerConfig("partner.example", true), "corp.example", corpCert},
		{"asked with other authorities", picky, "corp.example", corpCert},
		{"not asked", peer.ServerConfig("partner.example", false), "corp.example", nil},
		{"none for the domain", peer.ServerConfig("partner.example", true), "other.example", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			seen, ours, err := handshake(t, tt.server, m.ClientConfig(tt.local, "partner.example"))
			if err != nil {
				t.Fatal(err)
			}
			if seen.ServerName != "partner.example" {
				t.Errorf("SNI is %q", seen.ServerName)
			}
			if tt.want == nil && len(seen.PeerCertificates) > 0 || tt.want != nil && (len(seen.PeerCertificates) == 0 || !seen.PeerCertificates[0].Equal(tt.want)) {
				t.Errorf("shown: %v", seen.PeerCertificates)
			}
			if r := m.Verifier().Verify(ours.PeerCertificates, "partner.example"); r.Proved || !errors.Is(r.Err, ErrExpired) {
				t.Errorf("Verify after the handshake = proved %v, %v", r.Proved, r.Err)
			}
		})
	}
}

// TestNoTicketCarriesTrust: a server that asks for certificates never resumes; our client does not either.
func TestNoTicketCarriesTrust(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	corp, _ := f.pair(root, "corp.pem", names(san{dns: []string{"corp.example"}}))
	m := mustNew(t, Config{Files: []File{corp}, SystemRoots: off()})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, ask := range []bool{true, false} {
			server := m.ServerConfig("corp.example", ask)
			client := &tls.Config{InsecureSkipVerify: true, ServerName: "corp.example", MaxVersion: version, ClientSessionCache: tls.NewLRUClientSessionCache(4)}
			var seen tls.ConnectionState
			for range 2 {
				var err error
				if _, seen, err = handshake(t, server, client); err != nil {
					t.Fatal(err)
				}
			}
			if seen.DidResume == ask {
				t.Errorf("%s, certificate asked for: %v, resumed: %v", tls.VersionName(version), ask, seen.DidResume)
			}
		}
	}
	if c := m.ClientConfig("corp.example", "partner.example"); c.ClientSessionCache != nil {
		t.Error("our client keeps sessions")
	}
}

func TestServerConfigWithoutCertificates(t *testing.T) {
	t.Parallel()
	if c := mustNew(t, Config{SystemRoots: off()}).ServerConfig("corp.example", true); c != nil {
		t.Error("a configuration without a certificate to show")
	}
}
