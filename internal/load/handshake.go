package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/internal/peer"
)

// Shake is the argument with which a program that measures is started again, to call [Shaker].
const Shake = "shake"

// Handshakes measures what a link set-up can at most come to: TLS handshakes in which both sides show a certificate and look at the
// other's, with crypto/tls and nothing else. It returns how many a server does in a second of its CPU time. self is this program,
// started again as the server.
func Handshakes(ctx context.Context, self string, about time.Duration) (perCPUSecond float64, err error) {
	ca, err := peer.NewAuthority("Load generator")
	if err != nil {
		return 0, err
	}
	server, err := ca.Issue(gateDomain)
	if err != nil {
		return 0, err
	}
	client, err := ca.Issue(remoteDomain)
	if err != nil {
		return 0, err
	}
	child := exec.CommandContext(ctx, self, Shake)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := child.Start(); err != nil {
		return 0, fmt.Errorf("starting the server of bare handshakes: %w", err)
	}
	defer func() {
		in.Close()
		// It has nothing more to say.
		_ = child.Wait()
	}()
	if err := json.NewEncoder(in).Encode(shaker{CA: ca.PEM, Cert: server.Cert, Key: server.Key}); err != nil {
		return 0, err
	}
	place, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("the server of bare handshakes did not start: %w", err)
	}
	config := &tls.Config{RootCAs: ca.Pool(), ServerName: gateDomain, Certificates: []tls.Certificate{client.TLS}}
	return shake(ctx, strings.TrimSpace(place), config, child.Process.Pid, about)
}

// shake makes handshakes with a server, some of them before it counts.
func shake(ctx context.Context, place string, config *tls.Config, pid int, about time.Duration) (float64, error) {
	if _, err := shakeFor(ctx, place, config, about/10); err != nil {
		return 0, err
	}
	before, err := usage(pid)
	if err != nil {
		return 0, err
	}
	n, err := shakeFor(ctx, place, config, about)
	if err != nil {
		return 0, err
	}
	after, err := usage(pid)
	return float64(n) / after.sub(before).CPU.Seconds(), err
}

func shakeFor(ctx context.Context, place string, config *tls.Config, about time.Duration) (int64, error) {
	var n atomic.Int64
	end := time.Now().Add(about)
	work, ctx := errgroup.WithContext(ctx)
	for range 4 {
		work.Go(func() error {
			d := tls.Dialer{Config: config}
			for time.Now().Before(end) {
				conn, err := d.DialContext(ctx, "tcp", place)
				if err != nil {
					return fmt.Errorf("shaking hands: %w", err)
				}
				// The server's byte says that it has seen our certificate.
				_, err = io.ReadFull(conn, make([]byte, 1))
				conn.Close()
				if err != nil {
					return fmt.Errorf("shaking hands: %w", err)
				}
				n.Add(1)
			}
			return nil
		})
	}
	err := work.Wait()
	return n.Load(), err
}

// provers is how many domains come, again and again. Their connections are from some addresses, for a gate does not let one address
// come as often.
const provers = 16 * perSource

// Proofs measures what a remote server's way in costs a gate until it is ready for stanzas: TCP, STARTTLS, TLS 1.3 with a certificate on
// both sides, SASL EXTERNAL, the stream after it, and its end. It returns how many the gate does in a second of its CPU time.
// With profile, a CPU profile of other such ways in is kept in that file.
func (s *Subject) Proofs(ctx context.Context, about time.Duration, profile string) (perCPUSecond float64, err error) {
	// What a gate decides of a domain it remembers, once as of a stranger's and once as of one that it knows.
	for s.came.Load() < 2*provers {
		if _, err := s.prove(ctx, about/2); err != nil {
			return 0, err
		}
	}
	if profile != "" {
		work, ctx := errgroup.WithContext(ctx)
		work.Go(func() error { return s.cpuProfile(ctx, about, profile) })
		work.Go(func() error {
			_, err := s.prove(ctx, about)
			return err
		})
		if err := work.Wait(); err != nil {
			return 0, err
		}
	}
	before, err := s.usage()
	if err != nil {
		return 0, err
	}
	n, err := s.prove(ctx, about)
	if err != nil {
		return 0, err
	}
	after, err := s.usage()
	return float64(n) / after.sub(before).CPU.Seconds(), err
}

func (s *Subject) prove(ctx context.Context, about time.Duration) (int64, error) {
	var n atomic.Int64
	end := time.Now().Add(about)
	work, ctx := errgroup.WithContext(ctx)
	for range 4 {
		work.Go(func() error {
			for time.Now().Before(end) {
				pair := peer.Pair{Local: fmt.Sprintf("n%d.%s", s.came.Add(1)%provers, remoteDomain), Remote: s.local.domain}
				link, err := s.server.Open(ctx, pair)
				if err != nil {
					return fmt.Errorf("proving a domain: %w", err)
				}
				link.Close()
				n.Add(1)
			}
			return nil
		})
	}
	err := work.Wait()
	return n.Load(), err
}

// shaker is what the server of bare handshakes is told.
type shaker struct{ CA, Cert, Key []byte } // PEM

// Shaker is the other process: it reads what to show and whom to believe from in, writes its address to out, and shakes hands until
// in ends.
func Shaker(ctx context.Context, in io.Reader, out io.Writer) error {
	var s shaker
	dec := json.NewDecoder(in)
	if err := dec.Decode(&s); err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	cert, err := tls.X509KeyPair(s.Cert, s.Key)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA)
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer ln.Close()
	go answerHandshakes(ln, &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			// As servers have it now: the certificate is one for servers, and crypto/tls would ask for one for clients.
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots})
			return err
		}})
	fmt.Fprintln(out, ln.Addr())
	_, err = io.Copy(io.Discard, dec.Buffered())
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	return err
}

func answerHandshakes(ln net.Listener, config *tls.Config) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			// Writing shakes hands first; whoever does not get the byte counts nothing.
			_, _ = tls.Server(conn, config).Write([]byte{'.'})
		}()
	}
}
