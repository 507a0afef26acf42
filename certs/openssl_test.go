package certs

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"
)

// TestStapledByOpenSSL: what OpenSSL staples to a handshake with direct TLS (XEP-0368) is read, good and revoked alike.
func TestStapledByOpenSSL(t *testing.T) {
	t.Parallel()
	openssl := program(t, "openssl")
	root := newRoot(t, "Root")
	for status, want := range map[int]Standing{ocsp.Good: Good, ocsp.Revoked: Revoked} {
		t.Run(want.String(), func(t *testing.T) {
			t.Parallel()
			f := newFiles(t)
			chain, key := root.issueFor(t, newKey(t), names(san{dns: []string{"partner.example"}}))
			f.put("it.pem", key, chain...)
			staple, err := ocsp.CreateResponse(root.cert, root.cert, ocsp.Response{Status: status, SerialNumber: chain[0].SerialNumber,
				ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour), RevokedAt: time.Now().Add(-time.Hour)}, root.key)
			if err != nil {
				t.Fatal(err)
			}
			write(t, f.path("it.ocsp"), staple)
			server := exec.CommandContext(t.Context(), openssl, "s_server", "-accept", "127.0.0.1:0", "-cert", f.path("it.pem"), "-key", f.path("it.pem"),
				"-status_file", f.path("it.ocsp"), "-alpn", "xmpp-server", "-naccept", "1")
			out, err := server.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			in, err := server.StdinPipe() // it ends with its input
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { server.Process.Kill(); server.Wait() }()
			at := ""
			for lines := bufio.NewScanner(out); at == "" && lines.Scan(); {
				if place, ok := strings.CutPrefix(lines.Text(), "ACCEPT "); ok {
					at = place
				}
			}
			roots := x509.NewCertPool()
			roots.AddCert(root.cert)
			conn, err := tls.Dial("tcp", at, &tls.Config{ServerName: "partner.example", RootCAs: roots, NextProtos: []string{"xmpp-server"}})
			if err != nil {
				t.Fatalf("calling %q: %v", at, err)
			}
			defer conn.Close()
			state := conn.ConnectionState()
			proof := trusting(root).Verify(state.PeerCertificates, "partner.example")
			if got := new(Revocations).Check(proof, state.OCSPResponse); !proof.Proved || got != want || state.NegotiatedProtocol != "xmpp-server" {
				t.Errorf("it is %v, want %v (%d bytes stapled, protocol %q, %v)", got, want, len(state.OCSPResponse), state.NegotiatedProtocol, proof.Err)
			}
		})
	}
}
