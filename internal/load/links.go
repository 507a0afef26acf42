package load

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"sallyport/internal/peer"
)

// dialbackSecret is shared by all processes of the generator, because each answers for the others' keys.
const dialbackSecret = "load generator"

// parallel is how many links are being set up at a time.
const parallel = 16

// Links is what many links cost: one remote domain each, with its stream outside and its stream inside.
type Links struct {
	Count  int
	Setup  Usage // from the first connection to the last stanza through
	Wall   time.Duration
	Memory int64 // resident bytes more than a subject without them, both after a rest

	s      *Subject
	before Usage
	leave  func()
}

// PerCPUSecond is how many links are set up in a second of the subject's CPU time.
func (l *Links) PerCPUSecond() float64 { return float64(l.Count) / l.Setup.CPU.Seconds() }

// Fresh is the resident memory of one pair of streams right after all were set up, in bytes.
func (l *Links) Fresh() int64 { return l.Setup.RSS / int64(max(1, l.Count)) }

// PerPair is the resident memory of one pair of streams after the rest, in bytes.
func (l *Links) PerPair() int64 { return l.Memory / int64(max(1, l.Count)) }

// Rested looks at the memory again, next to that of a subject of the same kind that has rested as long without links. A runtime
// that collects garbage gives memory back only when nothing has happened for a while.
func (l *Links) Rested(bare *Subject) error {
	u, err := l.s.usage()
	if err != nil {
		return err
	}
	v, err := bare.usage()
	l.Memory = u.RSS - v.RSS
	return err
}

// Close ends the links.
func (l *Links) Close() { l.leave() }

// crowd is many remote domains. It lives in a process of its own, so that neither has to hold all connections.
type crowd struct {
	Place     string // where the subject takes streams
	To        string // the domain behind it
	Count     int
	CA        []byte // PEM
	Cert, Key []byte // PEM, for all of the domains
}

// Gathering is the argument with which a program that measures is started again, to call [Crowd].
const Gathering = "crowd"

// Links opens n links from as many domains, sends one stanza over each, and holds them until Close. self is this program, which
// is started again.
func (s *Subject) Links(ctx context.Context, self string, n int) (*Links, error) {
	id, err := s.authority.Issue("*." + remoteDomain)
	if err != nil {
		return nil, err
	}
	spec, err := json.Marshal(crowd{Place: s.place, To: s.local.domain, Count: n, CA: s.authority.PEM, Cert: id.Cert, Key: id.Key})
	if err != nil {
		return nil, err
	}
	l := &Links{Count: n, s: s}
	if l.before, err = s.usage(); err != nil {
		return nil, err
	}
	arrived, _ := s.local.in.now()
	begun := time.Now()
	if l.leave, err = gather(ctx, self, spec); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	if err := s.local.in.Await(ctx, arrived+int64(n)); err != nil {
		l.leave()
		last, _ := s.remote.in.lastError()
		return nil, fmt.Errorf("%s: %w; the last that came back: %s", s.Name, err, last)
	}
	l.Wall = time.Since(begun)
	after, err := s.usage()
	l.Setup = after.sub(l.before)
	return l, err
}

// gather starts the crowd and returns when all its links are up.
func gather(ctx context.Context, self string, spec []byte) (leave func(), err error) {
	child := exec.CommandContext(ctx, self, Gathering)
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, fmt.Errorf("starting the crowd: %w", err)
	}
	leave = func() {
		in.Close()
		// It has nothing more to say.
		_ = child.Wait()
	}
	if _, err := in.Write(append(spec, '\n')); err != nil {
		leave()
		return nil, fmt.Errorf("telling the crowd what to do: %w", err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		leave()
		return nil, fmt.Errorf("the crowd did not get through (%q, %v)", line, err)
	}
	return leave, nil
}

// Crowd is the other process: it reads what to do from in, opens the links, writes "ready" to out, and holds them until in ends.
func Crowd(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	spec, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	var c crowd
	if err := json.Unmarshal(spec, &c); err != nil {
		return fmt.Errorf("reading what to do: %w", err)
	}
	server, err := c.server(ctx)
	if err != nil {
		return err
	}
	defer server.Close()
	if err := c.open(ctx, server); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	_, err = io.Copy(io.Discard, lines)
	return err
}

func (c crowd) server(ctx context.Context) (*peer.Server, error) {
	cert, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.CA)
	return peer.Modern{Domains: []string{"*." + remoteDomain}, Certificate: cert, Roots: roots, External: true, Secret: dialbackSecret,
		Directory: peer.Directory{Routes: map[string]string{"*": c.Place}}, Hooks: peer.Hooks{Dial: spread}}.Start(ctx)
}

func (c crowd) open(ctx context.Context, server *peer.Server) error {
	var next atomic.Int64
	work, ctx := errgroup.WithContext(ctx)
	for range parallel {
		work.Go(func() error {
			for n := int(next.Add(1)) - 1; n < c.Count; n = int(next.Add(1)) - 1 {
				domain := fmt.Sprintf("n%d.%s", n, remoteDomain)
				link, err := server.Open(ctx, peer.Pair{Local: domain, Remote: c.To})
				if err != nil {
					return err
				}
				if _, err := link.Write(Stanza(Route{domain, c.To}, 0, 300)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return work.Wait()
}

// LinkLimit is how many pairs of streams a process may hold here: two descriptors each, with some to spare. It asks for the
// descriptors of so many pairs first, which only root gets beyond the limit that was set for it. Programs that are started get them
// too.
func LinkLimit(pairs int) int {
	const spare = 500
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 400
	}
	if need := uint64(2*pairs + spare); limit.Max < need {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: need, Max: need}); err == nil {
			limit.Max = need
		}
	}
	return min(pairs, int(min(limit.Max, 1<<20)-spare)/2)
}
