package lab

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// ListName is the host name of the CA's list of what it took back, in its certificates. DNS has to lead there.
const ListName = "list.lab.example"

// Web serves HTTP on host, or HTTPS with a configuration, on the usual port.
func (l *Lab) Web(host *Host, config *tls.Config, handler http.Handler) {
	l.t.Helper()
	port := uint16(80)
	if config != nil {
		port = 443
	}
	ln, err := host.Listen(netip.AddrPortFrom(host.Addr(Outside), port))
	if err != nil {
		l.t.Fatalf("starting the web server on %s: %v", host.name, err)
	}
	if config != nil {
		ln = tls.NewListener(ln, config)
	}
	asked := filepath.Join(l.logs, host.name+"-web.log")
	l.write(asked, "")
	l.watch(host.name+"/web", asked, tailBytes)
	server := &http.Server{Handler: noting(asked, handler), ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	done := make(chan struct{})
	go func() {
		_ = server.Serve(ln) // until it is closed
		close(done)
	}()
	l.onClose(func() {
		_ = server.Close()
		<-done
	})
}

// noting writes each request into the file.
func noting(file string, handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0o644); err == nil {
			_, _ = fmt.Fprintf(f, "%s %s %s %s%s\n", time.Now().Format("15:04:05.000"), r.RemoteAddr, r.Method, r.Host, r.URL)
			_ = f.Close()
		}
		handler.ServeHTTP(w, r)
	})
}

// RevocationList serves the CA's list of what it took back on host, as it is when it is asked for.
func (l *Lab) RevocationList(host *Host) {
	l.t.Helper()
	l.Web(host, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		list, err := l.ca.list()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(list)
	}))
}

// revoke takes a certificate back.
func (ca *CA) revoke(serial *big.Int) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.revoked = append(ca.revoked, x509.RevocationListEntry{SerialNumber: serial, RevocationTime: time.Now().Add(-time.Hour)})
}

// list is what was taken back, signed (RFC 5280 §5).
func (ca *CA) list() ([]byte, error) {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	template := &x509.RevocationList{Number: big.NewInt(int64(len(ca.revoked)) + 1), RevokedCertificateEntries: ca.revoked,
		ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour)}
	return x509.CreateRevocationList(rand.Reader, template, ca.cert, ca.key)
}
