package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/sys/unix"
)

const day = 24 * time.Hour

// acmeConfig asks the pretend authority for two backends' domains.
func acmeConfig(t testing.TB, challenge string) Config {
	return Config{Store: filepath.Join(t.TempDir(), "certs"), ACME: &ACME{Directory: pretendURL + "dir", Email: "admin@corp.example", AcceptTerms: true,
		Challenge: challenge, Domains: [][]string{{"corp.example", "conference.corp.example"}, {"corp.org"}}}}
}

// TestObtain: certificates for all domains, with each challenge that needs nobody else, one for a backend or one for a domain; a restart finds
// account and certificates where they were left, and nothing in the store is for other eyes.
func TestObtain(t *testing.T) {
	t.Parallel()
	for _, challenge := range []string{TLSALPN01, HTTP01} {
		for per, want := range map[string]int{"backend": 2, "domain": 3} {
			t.Run(challenge+" per "+per, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					p, c := newPretend(t, 90*day), acmeConfig(t, challenge)
					c.ACME.Per = per
					m, said := gateOf(t, p, c)
					if err := m.Covers("corp.example"); !errors.Is(err, ErrPending) || !strings.Contains(err.Error(), "it is obtained from ca.example by "+challenge) {
						t.Errorf("Covers before = %v", err)
					}
					stop := running(t, m, said)
					synctest.Wait()
					time.Sleep(time.Hour)
					stop()
					for _, domain := range []string{"corp.example", "conference.corp.example", "corp.org"} {
						if err := m.Covers(domain); err != nil {
							t.Errorf("%v\n%s", err, said.with(""))
						}
					}
					if got := len(said.with("certificate obtained")); got != want || len(p.placed()) != want {
						t.Errorf("%d certificates, %d orders, want %d", got, len(p.placed()), want)
					}
					for _, s := range m.Status() {
						if s.Source != "acme" || s.Failures != 0 || s.Renewal.IsZero() || !strings.Contains(s.Issuer, "Pretend Authority") {
							t.Errorf("Status %+v", s)
						}
					}
					private(t, c.Store)

					again, said := gateOf(t, p, c)
					if err := again.Covers("corp.org"); err != nil {
						t.Errorf("after a restart: %v", err)
					}
					stop = running(t, again, said)
					time.Sleep(day)
					stop()
					if len(p.placed()) != want || len(p.accounts) != 1 {
						t.Errorf("after a restart: %d orders, %d accounts; want %d and 1", len(p.placed()), len(p.accounts), want)
					}
				})
			})
		}
	}
}

// private holds everything in a store to be its owner's alone.
func private(t *testing.T, store string) {
	t.Helper()
	seen := 0
	err := filepath.Walk(store, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		seen++
		if want := map[bool]os.FileMode{true: 0o700, false: 0o600}[info.IsDir()]; info.Mode().Perm() != want {
			t.Errorf("%s has mode %#o, want %#o", path, info.Mode().Perm(), want)
		}
		if strings.Contains(path, staged) || strings.Contains(path, trial) {
			t.Errorf("%s was left behind", path)
		}
		return nil
	})
	if err != nil || seen < 4 {
		t.Errorf("the store has %d entries, %v", seen, err)
	}
}

// TestWanted: what certificates of files name is left to whoever renews those; the rest is grouped as asked, at most a hundred names to one.
func TestWanted(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	wild, _ := f.pair(root, "wild.pem", names(san{dns: []string{"*.corp.example"}}))
	c := acmeConfig(t, HTTP01)
	c.Files, c.SystemRoots = []File{wild}, off()
	m := mustNew(t, c)
	if got, want := m.issuer.wanted, []wanted{{"corp.example"}, {"corp.org"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("wanted %v, want %v", got, want)
	}
	if m.Covers("conference.corp.example") != nil || !errors.Is(m.Covers("corp.example"), ErrPending) || !errors.Is(m.Covers("other.example"), ErrNotCovered) {
		t.Error("Covers does not tell the three apart")
	}
	many := ACME{Domains: [][]string{nil}}
	for i := range 250 {
		many.Domains[0] = append(many.Domains[0], fmt.Sprintf("d%d.example", i))
	}
	var sizes []int
	for _, w := range many.wanted(newMaterial(nil)) {
		sizes = append(sizes, len(w))
	}
	if !reflect.DeepEqual(sizes, []int{100, 100, 50}) {
		t.Errorf("250 names are asked for as %v", sizes)
	}
}

// TestRenewalSchedule: a certificate of whatever life is renewed once when a third of it is left, up to a tenth of that third earlier, and
// never ends while the authority is there.
func TestRenewalSchedule(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{398 * day, 90 * day, 6 * day, 12 * time.Hour, 10 * time.Minute, 90 * time.Second} {
		t.Run(life.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, c := newPretend(t, life), acmeConfig(t, TLSALPN01)
				c.ACME.Domains = c.ACME.Domains[1:]
				m, said := gateOf(t, p, c)
				stop := running(t, m, said)
				defer stop()
				synctest.Wait()
				for range 60 {
					time.Sleep(life / 10)
					if err := m.Covers("corp.org"); err != nil {
						t.Fatal(err)
					}
				}
				orders := p.placed()
				if len(orders) < 8 || len(orders) > 10 { // 6 lives, each used for 0.63 to 0.67
					t.Errorf("%d orders in six lives", len(orders))
				}
				for i := 1; i < len(orders); i++ {
					used := orders[i].at.Sub(orders[i-1].at)
					if least, most := life*2/3-life/30, life*2/3+2*time.Second; used < least-time.Second || used > most {
						t.Errorf("renewed after %s of %s, want %s to %s", used, life, least, most)
					}
				}
			})
		})
	}
}

// TestOldFromTheAuthority: an authority whose certificates come in the last third of their lives is not asked for one after the other.
func TestOldFromTheAuthority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c := newPretend(t, 2*time.Hour), acmeConfig(t, TLSALPN01)
		c.ACME.Domains = c.ACME.Domains[1:]
		p.leaf = func(leaf *x509.Certificate) { leaf.NotBefore = leaf.NotAfter.Add(-4 * day) }
		m, said := gateOf(t, p, c)
		stop := running(t, m, said)
		defer stop()
		time.Sleep(day)
		if err := m.Covers("corp.org"); err != nil {
			t.Error(err)
		}
		if n := len(p.placed()); n < 13 || n > 200 {
			t.Errorf("%d orders in a day", n)
		}
	})
}

// TestReuseKey: the key changes with each renewal, unless it is to stay.
func TestReuseKey(t *testing.T) {
	t.Parallel()
	for _, reuse := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p, c := newPretend(t, 6*day), acmeConfig(t, HTTP01)
			c.ACME.ReuseKey = reuse
			m, said := gateOf(t, p, c)
			stop := running(t, m, said)
			defer stop()
			seen := map[string]bool{}
			for range 10 {
				time.Sleep(2 * day)
				for _, s := range m.Status() {
					seen[s.SPKI] = true
				}
			}
			if few := len(seen) == 2; few != reuse || len(p.placed()) < 6 {
				t.Errorf("reuse_key %v: %d keys of two certificates in %d orders", reuse, len(seen), len(p.placed()))
			}
		})
	}
}

// TestJitterSpreads: certificates that were issued at the same time are not renewed at the same time, and the time does not change.
func TestJitterSpreads(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	seen := map[time.Time]bool{}
	var first, last time.Time
	for range 20 {
		leaf := root.issue(t, dated(0, 90*day))[0]
		at := renewal(leaf).Add(-time.Until(leaf.NotAfter.Add(-90 * day)))
		if !renewal(leaf).Equal(renewal(leaf)) {
			t.Error("the time changes")
		}
		if seen[at] = true; first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	if len(seen) < 20 || last.Sub(first) < 12*time.Hour {
		t.Errorf("%d times within %s", len(seen), last.Sub(first))
	}
}

// TestOldServesUntilNewIsProved: whatever the authority hands out, what serves is replaced only by what can serve.
func TestOldServesUntilNewIsProved(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		leaf       func(*x509.Certificate)
		chain      func(t *testing.T, p *pretend, leaf *x509.Certificate) []byte
	}{
		{"a name is missing", "it does not name conference.corp.example, only [corp.example]", func(c *x509.Certificate) {
			c.ExtraExtensions = nil
			c.DNSNames = []string{"corp.example"}
		}, nil},
		{"it has ended", "certificate has expired", dated(-2*time.Hour, -time.Hour), nil},
		{"it has not begun", "certificate is not valid yet", dated(time.Hour, 90*day), nil},
		{"for clients", "certificate is not for TLS servers", usage(x509.ExtKeyUsageClientAuth), nil},
		{"for another key", "private key does not match the first certificate", nil, func(t *testing.T, p *pretend, leaf *x509.Certificate) []byte {
			return encode(t, nil, p.sub.issue(t, names(san{dns: []string{"corp.example", "conference.corp.example"}}))...)
		}},
		{"a chain of strangers", "did not sign certificate 1", nil, func(t *testing.T, p *pretend, leaf *x509.Certificate) []byte {
			return encode(t, nil, leaf, newRoot(t, "Stranger").cert)
		}},
		{"a chain that ended", `certificate has expired: "CN=Ended"`, nil, func(t *testing.T, p *pretend, leaf *x509.Certificate) []byte {
			ended := p.root.intermediate(t, "Ended", dated(-2*time.Hour, -time.Hour))
			tmpl := template("issued", []edit{names(san{dns: []string{"corp.example", "conference.corp.example"}}), dated(-time.Hour, 90*day)})
			return encode(t, nil, sign(t, tmpl, ended.cert, leaf.PublicKey, ended.key), ended.cert)
		}},
		{"no certificate", "certificate chain is empty", nil, func(*testing.T, *pretend, *x509.Certificate) []byte { return []byte("hello\n") }},
		{"garbage", "certificate 1 cannot be read", nil, func(*testing.T, *pretend, *x509.Certificate) []byte {
			return []byte("-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n")
		}},
		{"far too much", "the authority's answer is too large", nil, func(_ *testing.T, _ *pretend, leaf *x509.Certificate) []byte { return make([]byte, 2<<20) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, c := newPretend(t, 90*day), acmeConfig(t, TLSALPN01)
				c.ACME.Domains = c.ACME.Domains[:1]
				m, said := gateOf(t, p, c)
				stop := running(t, m, said)
				defer stop()
				time.Sleep(time.Minute)
				old, _ := m.Certificate("corp.example")
				stored, err := os.ReadFile(m.issuer.store.path("corp.example"))
				if err != nil {
					t.Fatal(err, said.with(""))
				}
				p.set(func() {
					p.leaf = tt.leaf
					if tt.chain != nil {
						p.chain = func(leaf *x509.Certificate) []byte { return tt.chain(t, p, leaf) }
					}
				})
				time.Sleep(61 * day)
				if now, _ := m.Certificate("corp.example"); now != old {
					t.Error("what serves was replaced")
				}
				if now, err := os.ReadFile(m.issuer.store.path("corp.example")); err != nil || string(now) != string(stored) {
					t.Errorf("what is stored was replaced, %v", err)
				}
				failures := said.with("certificate not obtained")
				if len(failures) == 0 || !strings.Contains(strings.ReplaceAll(failures[0], `\"`, `"`), tt.want) {
					t.Fatalf("told %q\nwant %q", failures, tt.want)
				}
				p.set(func() { p.leaf, p.chain = nil, nil })
				time.Sleep(day)
				if now, _ := m.Certificate("corp.example"); now == old {
					t.Errorf("a good certificate is not taken: %s", said.with(""))
				}
				stop()
				private(t, c.Store)
			})
		})
	}
}

// TestFailingRenewalIsTold: weeks ahead in the log, by Status and by Concerns, with more and more time between the attempts, in words that say
// what to do; and it heals by itself.
func TestFailingRenewalIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c := newPretend(t, 90*day), acmeConfig(t, TLSALPN01)
		c.ACME.Domains = c.ACME.Domains[1:]
		m, said := gateOf(t, p, c)
		stop := running(t, m, said)
		defer func() { stop() }()
		time.Sleep(time.Minute)
		p.set(func() { p.refuse["corp.org"] = "Connection refused\n by 192.0.2.1" })
		time.Sleep(64 * day)
		told := said.with("certificate not obtained")
		if len(told) < 8 || len(told) > 40 {
			t.Fatalf("%d lines in the first four days of failure", len(told))
		}
		for _, want := range []string{"level=WARN", "domains=[corp.org]", "authority=ca.example", "challenge=tls-alpn-01", "failures=1 ", "serving_until=",
			"next_try=", "showing that corp.org is ours by tls-alpn-01: the authority says: Connection refused by 192.0.2.1 (unauthorized); port 443 of corp.org"} {
			if !strings.Contains(told[0], want) {
				t.Errorf("the line lacks %q: %s", want, told[0])
			}
		}
		s, concerns := m.Status()[0], m.Concerns()
		if s.Failures != len(told) || !strings.Contains(s.Problem, "Connection refused") || s.NextTry.Before(time.Now()) {
			t.Errorf("Status %+v", s)
		}
		if len(concerns) != 1 || !strings.Contains(concerns[0].Error(), "corp.org") || !strings.Contains(concerns[0].Error(), "attempts to renew it failed, the last because: showing") {
			t.Errorf("Concerns with 26 days left: %v", concerns)
		}
		if left := time.Until(s.NotAfter); left < 14*day {
			t.Errorf("only %s are left", left)
		}
		// Another process looks at the store.
		other, err := newManager(c, &Manager{clock: time.Now})
		if err != nil || len(other.Concerns()) != 1 || !strings.Contains(other.Concerns()[0].Error(), "Connection refused") {
			t.Errorf("check says %v, %v", other.Concerns(), err)
		}
		if got := said.with("a certificate of ours needs a hand"); len(got) != 0 {
			t.Errorf("told twice: %q", got)
		}
		time.Sleep(27 * day)
		if _, ok := m.Certificate("corp.org"); !ok || !errors.Is(m.Covers("corp.org"), ErrNotInDate) {
			t.Error("the certificate is gone, or nobody says that it ended")
		}
		if last := said.with("certificate not obtained"); !strings.Contains(last[len(last)-1], "level=ERROR") {
			t.Errorf("at the end: %s", last[len(last)-1])
		}
		p.set(func() { p.refuse = map[string]string{} })
		time.Sleep(2 * time.Hour)
		if err := m.Covers("corp.org"); err != nil || m.Status()[0].Failures != 0 || len(m.Concerns()) != 0 {
			t.Errorf("it does not heal: %v %v", err, m.Concerns())
		}
		stop()
		private(t, c.Store)
	})
}

// TestPauseAfter: the waits double, keep to what is left of a certificate's life, and are never the same twice.
func TestPauseAfter(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	at := func(life, left time.Duration) *pair {
		leaf := root.issue(t, dated(left-life, left))[0]
		return &pair{cert: tlsOf(leaf)}
	}
	for _, tt := range []struct {
		name string
		p    *pair
		n    int
		want time.Duration
	}{
		{"first of all", nil, 1, time.Minute},
		{"without a certificate", nil, 4, 8 * time.Minute},
		{"without a certificate, long", nil, 100, time.Hour},
		{"ninety days", at(90*day, 30*day), 1, 5 * time.Minute},
		{"ninety days, long", at(90*day, 30*day), 50, 6 * time.Hour},
		{"ninety days, near the end", at(90*day, 8*time.Hour), 50, time.Hour},
		{"six days, long", at(6*day, day), 50, 3 * time.Hour},
		{"minutes", at(5*time.Minute, 100*time.Second), 1, 5 * time.Second},
		{"minutes, long", at(5*time.Minute, 100*time.Second), 9, 12500 * time.Millisecond},
		{"ended", at(90*day, -day), 50, time.Hour},
	} {
		seen := map[time.Duration]bool{}
		for range 20 {
			got := pauseAfter(tt.n, tt.p, time.Now())
			if got < tt.want*89/100 || got > tt.want*111/100 {
				t.Errorf("%s: %s, want about %s", tt.name, got, tt.want)
			}
			seen[got] = true
		}
		if len(seen) < 10 {
			t.Errorf("%s: no chance in it", tt.name)
		}
	}
}

// TestRetryAfter: an authority that asks for time gets it, also from the next run of the program, but never more than a day.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header string
		want   time.Duration
	}{{"10800", 3 * time.Hour}, {"date", 5 * time.Hour}, {"999999999", day}, {"nonsense", time.Minute}, {"-5", time.Minute}} {
		t.Run(tt.header, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, c := newPretend(t, 90*day), acmeConfig(t, HTTP01)
				c.ACME.Domains = c.ACME.Domains[1:]
				asked := 0
				header := tt.header
				if header == "date" {
					header = time.Now().Add(5 * time.Hour).UTC().Format(http.TimeFormat)
				}
				p.answer = func(kind string, w *httptest.ResponseRecorder) bool {
					if kind != "new" {
						return false
					}
					asked++
					w.Header().Set("Retry-After", header)
					p.problem(w, 429, "rateLimited", "too many certificates")
					return true
				}
				m, said := gateOf(t, p, c)
				stop := running(t, m, said)
				time.Sleep(time.Second)
				p.set(func() {
					if asked != 1 || len(said.with("too many certificates")) != 1 {
						t.Errorf("asked %d times, told %s", asked, said.with(""))
					}
				})
				next := time.Until(m.Status()[0].NextTry)
				if next < tt.want*89/100-time.Second || next > tt.want*111/100 {
					t.Errorf("next try in %s, want %s", next, tt.want)
				}
				stop()
				if tt.want > time.Minute {
					again, said := gateOf(t, p, c)
					stop = running(t, again, said)
					time.Sleep(next - time.Minute)
					p.set(func() {
						if asked != 1 {
							t.Errorf("asked again after a restart: %d", asked)
						}
						p.answer = nil
					})
					time.Sleep(2 * time.Minute)
					if err := again.Covers("corp.org"); err != nil {
						t.Error(err, said.with(""))
					}
					stop()
				}
			})
		})
	}
}

// TestCrashLoop: a gate that is restarted again and again does not ask the authority each time, and a reload does.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c := newPretend(t, 90*day), acmeConfig(t, HTTP01)
		c.ACME.Domains = c.ACME.Domains[1:]
		p.refuse["corp.org"] = "no"
		for range 25 {
			m, said := gateOf(t, p, c)
			stop := running(t, m, said)
			time.Sleep(2 * time.Second)
			stop()
		}
		if n := len(p.placed()); n != 1 {
			t.Errorf("%d orders within a minute of restarts, want 1", n)
		}
		m, said := gateOf(t, p, c)
		stop := running(t, m, said)
		defer stop()
		synctest.Wait()
		p.set(func() { p.refuse = map[string]string{} })
		if err := m.Reload(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if err := m.Covers("corp.org"); err != nil {
			t.Errorf("a reload does not try at once: %v", err)
		}
	})
}

// TestUnwritableStore: a store that became unwritable, or a disk that is full, costs nothing that serves, is told in one line, and no order
// is placed whose certificate could not be kept.
func TestUnwritableStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c := newPretend(t, 90*day), acmeConfig(t, HTTP01)
		c.ACME.Domains = c.ACME.Domains[1:]
		m, said := gateOf(t, p, c)
		stop := running(t, m, said)
		defer stop()
		time.Sleep(time.Minute)
		old, ok := m.Certificate("corp.org")
		if err := os.Rename(c.Store, c.Store+".away"); !ok || err != nil {
			t.Fatal(err)
		}
		write(t, c.Store, nil) // a file where the folder was
		time.Sleep(61 * day)
		if now, _ := m.Certificate("corp.org"); now != old || len(p.placed()) != 1 {
			t.Errorf("what serves was replaced, or an order was placed: %d", len(p.placed()))
		}
		failures := said.with("certificate not obtained")
		if len(failures) == 0 || !strings.Contains(failures[0], "the store cannot be written: not a directory; free space, or let the gate's user write there") {
			t.Errorf("told %q", failures)
		}
		if err := errors.Join(os.Remove(c.Store), os.Rename(c.Store+".away", c.Store)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(day)
		if now, _ := m.Certificate("corp.org"); now == old {
			t.Error("it does not heal")
		}
	})
}

// TestFullDisk is TestUnwritableStore on a file system without room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	p, c := newPretend(t, 90*day), acmeConfig(t, HTTP01)
	c.ACME.Domains = c.ACME.Domains[1:]
	if err := os.Mkdir(c.Store, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", c.Store, "tmpfs", 0, "size=64k"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("a full disk needs root, to mount a small one: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(c.Store, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	m, said := gateOf(t, p, c)
	k := keeperOf(m, said, p)
	if err := m.issuer.store.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(c.Store, "fill"), make([]byte, 60<<10))
	if _, err := k.attempt(t.Context(), wanted{"corp.org"}); err == nil || !strings.Contains(err.Error(), "the store cannot be written: no space left on device; free space") {
		t.Errorf("an attempt on a full disk: %v", err)
	}
	if len(p.placed()) != 0 {
		t.Error("an order was placed whose certificate has no room")
	}
	if entries, err := os.ReadDir(string(m.issuer.store.DirCache)); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := os.Remove(filepath.Join(c.Store, "fill")); err != nil {
		t.Fatal(err)
	}
	if _, err := k.attempt(t.Context(), wanted{"corp.org"}); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// TestClock: a clock that is wrong places no orders, touches nothing that serves, and is told in one line; so is its jump.
func TestClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c := newPretend(t, 90*day), acmeConfig(t, HTTP01)
		c.ACME.Domains = c.ACME.Domains[1:]
		m, said := gateOf(t, p, c)
		var wrong time.Duration
		gate := make(chan struct{}, 1)
		clock := func() time.Time {
			gate <- struct{}{}
			defer func() { <-gate }()
			return time.Now().Add(wrong)
		}
		m.clock, m.issuer.clock = clock, clock
		stop := running(t, m, said)
		defer stop()
		time.Sleep(time.Minute)
		old, ok := m.Certificate("corp.org")
		if !ok {
			t.Fatal(said.with(""))
		}
		for _, by := range []time.Duration{80 * day, -200 * day} {
			gate <- struct{}{}
			wrong = by
			<-gate
			time.Sleep(2 * time.Hour)
		}
		if now, _ := m.Certificate("corp.org"); now != old || len(p.placed()) != 1 {
			t.Errorf("what serves was replaced, or an order was placed: %d", len(p.placed()))
		}
		if got := said.with("the clock of this machine jumped"); len(got) != 2 || !strings.Contains(got[0], "by=1920h0m0s") {
			t.Errorf("jumps told: %q", got)
		}
		if got := said.with("certificate not obtained"); len(got) == 0 || !strings.Contains(got[0], "our clock and the authority's differ by -1920h0m0s; nothing is asked for") {
			t.Errorf("told %q", got)
		}
		gate <- struct{}{}
		wrong = 0
		<-gate
		time.Sleep(55 * day)
		if len(p.placed()) != 1 {
			t.Error("the renewal came too early after the clock was set right")
		}
		time.Sleep(8 * day)
		if now, _ := m.Certificate("corp.org"); now == old {
			t.Errorf("the renewal does not come after the clock was set right: %s", said.with(""))
		}
	})
}

// TestAuthorityMisbehaves: forged, endless and slow answers end the attempt in bounded time with one line, and touch nothing else.
func TestAuthorityMisbehaves(t *testing.T) {
	t.Parallel()
	say := func(code int, body string) func(*httptest.ResponseRecorder) {
		return func(w *httptest.ResponseRecorder) {
			w.WriteHeader(code)
			_, _ = w.WriteString(body)
		}
	}
	dir := func(change map[string]any) func(*httptest.ResponseRecorder) {
		d := map[string]any{"meta": map[string]string{"termsOfService": pretendURL}, "newNonce": pretendURL + "nonce", "newAccount": pretendURL + "account", "newOrder": pretendURL + "new"}
		for k, v := range change {
			d[k] = v
		}
		return func(w *httptest.ResponseRecorder) { (&pretend{}).json(w, 200, d) }
	}
	for _, tt := range []struct {
		name, kind string
		do         func(*httptest.ResponseRecorder)
		want       string
		longest    time.Duration
	}{
		{"directory that is a page", "dir", say(200, "<html>"), "invalid character '<'", time.Minute},
		{"directory without end", "dir", say(200, `{"x":"`+strings.Repeat("a", 3<<20)), "the authority's answer is too large", time.Minute},
		{"directory of another version", "dir", say(200, `{"new-cert":"https://ca.example/new"}`), "does not support the RFC 8555 version", time.Minute},
		{"directory that is not there", "dir", say(404, "gone fishing"), "gone fishing", time.Minute},
		{"directory elsewhere", "dir", func(w *httptest.ResponseRecorder) {
			w.Header().Set("Location", "http://127.0.0.1/")
			w.WriteHeader(302)
		}, "302", time.Minute},
		{"directory in clear", "dir", dir(map[string]any{"newOrder": "http://127.0.0.1:25/"}), "the authority points to an address without TLS", time.Minute},
		{"directory that points at files", "dir", dir(map[string]any{"newOrder": "file:///etc/passwd"}), "without TLS", time.Minute},
		{"no account for us", "account", say(403, `{"type":"urn:ietf:params:acme:error:externalAccountRequired","detail":"who are you"}`), "get an account from the authority and name it in certs.acme.eab", time.Minute},
		{"server error", "new", say(500, "oops"), "oops", 2 * time.Minute},
		{"no nonce is fresh", "new", say(400, `{"type":"urn:ietf:params:acme:error:badNonce","detail":"try again"}`), "try again (badNonce)", time.Minute},
		{"error in many lines", "new", say(400, `{"type":"urn:ietf:params:acme:error:malformed","detail":"a\nb\u001b[2Jc\u202ed"}`), `a b�[2Jc�d (malformed)`, time.Minute},
		{"error without end", "new", say(400, `{"type":"x:y","detail":"`+strings.Repeat("z", 900<<10)+`"}`), "zzz… (y)", time.Minute},
		{"error with many parts", "new", say(400, `{"type":"x:compound","detail":"no","subproblems":[`+strings.Repeat(`{"type":"x:caa","detail":"forbidden","identifier":{"type":"dns","value":"corp.org"}},`, 50)+`{"type":"x:y"}]}`),
			"no (compound); corp.org: forbidden; corp.org: forbidden; corp.org: forbidden; corp.org: forbidden; corp.org: forbidden; and 46 more", time.Minute},
		{"order that is invalid", "new", say(201, `{"status":"invalid"}`), `the order is "invalid" from its beginning`, time.Minute},
		{"more proofs than names", "new", say(201, `{"status":"pending","authorizations":["https://ca.example/authz/0/0","https://ca.example/authz/0/0"],"finalize":"https://ca.example/finalize/0"}`), "the authority wants 2 proofs for 1 names", time.Minute},
		{"proof for another domain", "authz", say(200, `{"status":"pending","identifier":{"type":"dns","value":"victim.example"}}`), `a proof for "victim.example", which was not asked for`, time.Minute},
		{"proof for a wildcard", "authz", say(200, `{"status":"pending","wildcard":true,"identifier":{"type":"dns","value":"corp.org"}}`), "which was not asked for", time.Minute},
		{"no challenge of our kind", "authz", say(200, `{"status":"pending","identifier":{"type":"dns","value":"corp.org"},"challenges":[{"type":"dns-account-01","token":"x"}]}`), "does not take http-01 for corp.org, only dns-account-01; set certs.acme.challenge", time.Minute},
		{"token that is a path", "authz", say(200, `{"status":"pending","identifier":{"type":"dns","value":"corp.org"},"challenges":[{"type":"http-01","token":"../../etc"}]}`), "token for corp.org is malformed", time.Minute},
		{"never decided", "authz", say(200, `{"status":"pending","identifier":{"type":"dns","value":"corp.org"},"challenges":[{"type":"http-01","token":"x","url":"https://ca.example/challenge/0/0"}]}`), "it was not done after 5m0s", 6 * time.Minute},
		{"never decided, and come back in a year", "authz", func(w *httptest.ResponseRecorder) {
			w.Header().Set("Retry-After", "31536000")
			say(200, `{"status":"pending","identifier":{"type":"dns","value":"corp.org"},"challenges":[{"type":"http-01","token":"x","url":"https://ca.example/challenge/0/0"}]}`)(w)
		}, "it was not done after 5m0s", 6 * time.Minute},
		{"issued without a certificate", "finalize", say(200, `{"status":"valid","certificate":"https://ca.example/nothing"}`), "no such resource", time.Minute},
		{"processing for ever", "finalize", say(200, `{"status":"processing"}`), "order", 6 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				root, f := newRoot(t, "Root"), newFiles(t)
				p, c := newPretend(t, 90*day), acmeConfig(t, HTTP01)
				c.ACME.Domains = c.ACME.Domains[1:]
				file, _ := f.pair(root, "file.pem", names(san{dns: []string{"other.example"}}))
				c.Files = []File{file}
				p.answer = func(kind string, w *httptest.ResponseRecorder) bool {
					if kind == tt.kind {
						tt.do(w)
					}
					return kind == tt.kind
				}
				m, said := gateOf(t, p, c)
				began := time.Now()
				stop := running(t, m, said)
				defer stop()
				for len(said.with("certificate not obtained")) == 0 && time.Since(began) < time.Hour {
					time.Sleep(time.Second)
				}
				told := said.with("certificate not obtained")
				if len(told) != 1 || !strings.Contains(strings.ReplaceAll(told[0], `\"`, `"`), tt.want) {
					t.Errorf("told %.2000q\nwant %q", told, tt.want)
				}
				if took := time.Since(began); took > tt.longest {
					t.Errorf("took %s", took)
				}
				if text := strings.Join(told, ""); strings.Count(text, "\n") != 1 || len(text) > 2500 || strings.ContainsAny(text, "\x1b\u202e") {
					t.Errorf("not one tidy line: %d bytes", len(text))
				}
				if err := m.Covers("other.example"); err != nil {
					t.Errorf("another certificate suffers: %v", err)
				}
				private(t, c.Store)
			})
		})
	}
}

// TestSilentAuthority: a request that nobody answers ends by itself.
func TestSilentAuthority(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c := newPretend(t, 90*day), acmeConfig(t, HTTP01)
		m, said := gateOf(t, p, c)
		m.transport = silent{}
		began := time.Now()
		stop := running(t, m, said)
		for len(said.with("certificate not obtained")) == 0 {
			time.Sleep(time.Second)
		}
		if took := time.Since(began); took > acmeRequest+2*time.Second {
			t.Errorf("told after %s", took)
		}
		stop()
	})
}

type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestStopDuringAnOrder: the gate's end does not wait for an authority.
func TestStopDuringAnOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c := newPretend(t, 90*day), acmeConfig(t, HTTP01)
		m, said := gateOf(t, p, c)
		m.transport = silent{}
		stop := running(t, m, said)
		synctest.Wait()
		began := time.Now()
		stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s", took)
		}
		if got := said.with("certificate not obtained"); len(got) != 0 {
			t.Errorf("an order that was given up counts as failed: %q", got)
		}
	})
}

// TestAccountAndProfile: what is asked of the authority is what the configuration says.
func TestAccountAndProfile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c, f := newPretend(t, 6*day), acmeConfig(t, HTTP01), newFiles(t)
		write(t, f.path("eab.key"), []byte("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n"))
		c.ACME.Profile, c.ACME.EAB = "shortlived", &EAB{KID: "kid-1", KeyFile: f.path("eab.key")}
		m, said := gateOf(t, p, c)
		stop := running(t, m, said)
		time.Sleep(time.Minute)
		if err := m.Covers("corp.org"); err != nil {
			t.Fatal(err, said.with(""))
		}
		stop()
		for _, want := range []struct{ kind, text string }{{"new", `"profile":"shortlived"`}, {"new", `"value":"corp`}} {
			if !strings.Contains(string(p.bodies[want.kind]), want.text) {
				t.Errorf("%s was asked %s, without %s", want.kind, p.bodies[want.kind], want.text)
			}
		}
		c.ACME.Profile = "diamond"
		c.ACME.Domains = append(c.ACME.Domains, []string{"new.example"})
		m, said = gateOf(t, p, c)
		stop = running(t, m, said)
		defer stop()
		time.Sleep(time.Minute)
		if got := said.with("certificate not obtained"); len(got) == 0 || !strings.Contains(got[0], "diamond (supported profiles: shortlived)") {
			t.Errorf("told %q", got)
		}
	})
}

// TestTermsAreNotAcceptedUnasked: without accept_terms no account is made.
func TestTermsAreNotAcceptedUnasked(t *testing.T) {
	t.Parallel()
	p, c := newPretend(t, 6*day), acmeConfig(t, HTTP01)
	c.ACME.AcceptTerms = false
	m, _ := gateOf(t, p, c)
	if _, err := m.issuer.client(t.Context(), p); err == nil || len(p.accounts) != 0 || !strings.Contains(err.Error(), "the authority's terms have changed; read them") {
		t.Errorf("an account was made: %v", err)
	}
}

// TestSecretsOfACME: keys that others can read, or that are none, refuse the start; nothing prints one.
func TestSecretsOfACME(t *testing.T) {
	t.Parallel()
	f := newFiles(t)
	const good, hidden = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W", "WNDZM6eQGHWpSRTPal5"
	for name, text := range map[string]string{"good": good, "padded": good + "==", "short": "AAAA", "noise": "!!!", "keygen": "key \"sallyport\" {\n\talgorithm hmac-sha256;\n\tsecret \"" + good + "\";\n};\n"} {
		write(t, f.path(name), []byte(text+"\n"))
	}
	for name, mode := range map[string]os.FileMode{"open": 0o644, "shared": 0o640} {
		write(t, f.path(name), []byte(good))
		if err := os.Chmod(f.path(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ eab, tsig, want string }{
		{"good", "good", ""}, {"padded", "keygen", ""}, {"shared", "shared", ""},
		{"open", "good", "open: its mode 0644 lets others read or change it; chmod 640 "},
		{"good", "open", "open: its mode 0644 lets others read or change it; chmod 640 "},
		{"short", "good", "short: it holds no key of at least 16 bytes in base64url"},
		{"noise", "good", "noise: it holds no key"},
		{"good", "short", "short: it holds no key of at least 16 bytes in base64; make one: tsig-keygen"},
		{"absent", "good", "absent: no such file or directory; put it there"},
	} {
		c := acmeConfig(t, DNS01)
		c.SystemRoots = off()
		c.ACME.EAB = &EAB{KID: "kid", KeyFile: f.path(tt.eab)}
		c.ACME.DNS = &DNSUpdate{TSIG: TSIG{Name: "sallyport", SecretFile: f.path(tt.tsig)}}
		m, err := New(c)
		if tt.want == "" {
			if err != nil || m.issuer.tsig()["sallyport."] != good || m.issuer.eab().KID != "kid" {
				t.Errorf("%+v: %v", tt, err)
				continue
			}
			if printed := fmt.Sprintf("%+v %#v %v", m.issuer, m.issuer, m.config); strings.Contains(printed, hidden) {
				t.Error("a secret is printed")
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), hidden) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// TestDamagedStore: what cannot be read is obtained anew, but never the account's key, on which more than one certificate hangs.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p, c := newPretend(t, 90*day), acmeConfig(t, HTTP01)
		c.ACME.Domains = c.ACME.Domains[1:]
		m, said := gateOf(t, p, c)
		stop := running(t, m, said)
		time.Sleep(time.Minute)
		stop()
		store := m.issuer.store
		write(t, store.path("corp.org"), []byte("torn"))
		write(t, store.path("corp.org"+attempted), []byte("{torn"))
		m, said = gateOf(t, p, c)
		stop = running(t, m, said)
		time.Sleep(time.Minute)
		if got := said.with("a stored certificate is of no use"); len(got) != 1 || m.Covers("corp.org") != nil || len(p.placed()) != 2 {
			t.Errorf("told %q, %d orders: %v", got, len(p.placed()), m.Covers("corp.org"))
		}
		stop()
		write(t, store.path(accountFile), []byte("torn"))
		if err := os.Remove(store.path("corp.org")); err != nil {
			t.Fatal(err)
		}
		m, said = gateOf(t, p, c)
		stop = running(t, m, said)
		defer stop()
		time.Sleep(time.Second)
		if got := said.with("certificate not obtained"); len(got) != 1 || !strings.Contains(got[0], "no private key in it") || len(p.accounts) != 1 {
			t.Errorf("told %q, %d accounts", said.with(""), len(p.accounts))
		}
	})
}

// TestConcernsOfFiles: certificates that somebody else renews are watched too.
func TestConcernsOfFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		root, f := newRoot(t, "Root", dated(0, 1000*day)), newFiles(t)
		short, _ := f.pair(root, "short.pem", names(san{dns: []string{"short.example"}}), dated(0, 6*day))
		long, _ := f.pair(root, "long.pem", names(san{dns: []string{"long.example"}}), dated(0, 365*day))
		m, said := mustNew(t, Config{Files: []File{short, long}, SystemRoots: off()}), new(lines)
		stop := running(t, m, said)
		defer stop()
		if got := m.Concerns(); len(got) != 0 {
			t.Errorf("on the first day: %v", got)
		}
		time.Sleep(5 * day)
		if got := m.Concerns(); len(got) != 1 || !strings.Contains(got[0].Error(), "short.example in "+short.Cert+" ends on") || !strings.Contains(got[0].Error(), "renew it and reload") {
			t.Errorf("with a day left: %v", got)
		}
		time.Sleep(340*day + 12*time.Hour)
		if got := m.Concerns(); len(got) != 1 || !strings.Contains(got[0].Error(), "long.example") || !errors.Is(m.Covers("short.example"), ErrNotInDate) {
			t.Errorf("with 20 days left: %v", got)
		}
		if got := said.with("long.example"); len(got) != 2 || !strings.Contains(got[0], "level=WARN") {
			t.Errorf("told of the year's certificate: %q; want one line a day", got)
		}
		if got := said.with("short.example"); !strings.Contains(got[len(got)-1], "level=ERROR") || !strings.Contains(got[len(got)-1], "ended on") {
			t.Errorf("of one that ended: %q", got[len(got)-1])
		}
	})
}

// TestValidatorsAreNoPeers: an authority's validator is answered on the door for direct TLS, is asked for no certificate, and never looks like a
// peer; peers are served as ever meanwhile; and nobody else gets a challenge's certificate.
func TestValidatorsAreNoPeers(t *testing.T) {
	t.Parallel()
	root, f := newRoot(t, "Root"), newFiles(t)
	file, cert := f.pair(root, "corp.pem", names(san{dns: []string{"corp.example"}}))
	c := acmeConfig(t, TLSALPN01)
	c.Files = []File{file}
	p := newPretend(t, 90*day)
	m, _ := gateOf(t, p, c)
	client, err := m.issuer.client(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	cleanup, err := m.responder.present(t.Context(), client, []proofOfControl{{domain: "corp.org", token: "token", challenge: &acme.Challenge{Type: TLSALPN01, Token: "token"}}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := client.HTTP01ChallengeResponse("token") // the key authorization is the same
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(m.ServerConfig("", true), "corp.org", key); err != nil {
		t.Errorf("on the door for direct TLS: %v", err)
	}
	peer := base()
	peer.ServerName, peer.InsecureSkipVerify, peer.NextProtos = "corp.example", true, []string{ALPN}
	_, state, err := handshake(t, m.ServerConfig("", true), peer)
	if err != nil || !state.PeerCertificates[0].Equal(cert) || state.NegotiatedProtocol == acme.ALPNProto {
		t.Errorf("a peer is not served: %v", err)
	}
	both := base()
	both.ServerName, both.InsecureSkipVerify, both.NextProtos = "corp.org", true, []string{acme.ALPNProto, ALPN}
	if _, state, err := handshake(t, m.ServerConfig("", true), both); err != nil || state.NegotiatedProtocol != ALPN {
		t.Errorf("who speaks more than the challenge's protocol is no validator: %v %q", err, state.NegotiatedProtocol)
	}
	posh := make(pipes)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = m.ServePOSH(ctx, posh) }()
	if err := validateAt(func() net.Conn { a, b := net.Pipe(); posh <- a; return b }, "corp.org", key); err != nil {
		t.Errorf("at the door for POSH: %v", err)
	}
	for _, at := range []string{"corp.example", "corp.org"} {
		if err := validate(m.ServerConfig(at, true), "corp.org", key); err == nil {
			t.Error("a validator is answered behind STARTTLS")
		}
	}
	cleanup()
	if err := validate(m.ServerConfig("", true), "corp.org", key); err == nil {
		t.Error("the challenge is answered after its end")
	}
	if c := mustNew(t, Config{SystemRoots: off()}).ServerConfig("", true); c != nil {
		t.Error("a gate without certificates and without an authority begins handshakes")
	}
}

// pipes is a listener in memory: whoever calls gets one end of a pipe.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestSilentValidators: who says nothing at a challenge listener is cut off in time, and no more than so many are heard at once.
func TestSilentValidators(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{TLSALPN01, HTTP01} {
		synctest.Test(t, func(t *testing.T) {
			m, ln := mustNew(t, Config{SystemRoots: off()}), make(pipes)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- m.ServeChallenges(ctx, ln, kind) }()
			heard := 0
			ends := make(chan time.Duration, 2*visitors)
			for range visitors + 1 {
				here, there := net.Pipe()
				began := time.Now()
				go func() {
					_, err := there.Read(make([]byte, 1))
					if err == nil {
						t.Error("something was said to who said nothing")
					}
					ends <- time.Since(began)
				}()
				select {
				case ln <- here:
					heard++
				case <-time.After(time.Second):
					here.Close()
				}
			}
			if heard != visitors {
				t.Errorf("%s: %d are heard at once, want %d", kind, heard, visitors)
			}
			for range visitors + 1 {
				if took := <-ends; took > visitTime+time.Second {
					t.Errorf("%s: one was heard for %s", kind, took)
				}
			}
			cancel()
			synctest.Wait()
			close(ln)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAttemptPanics: a panic in somebody's library is a failed attempt.
func TestAttemptPanics(t *testing.T) {
	t.Parallel()
	p, c := newPretend(t, 90*day), acmeConfig(t, HTTP01)
	m, said := gateOf(t, p, c)
	k := keeperOf(m, said, panics{})
	for range 2 {
		if _, err := k.attempt(t.Context(), wanted{"corp.org"}); err == nil || !strings.Contains(err.Error(), "panicked: boo") {
			t.Errorf("attempt = %v", err)
		}
	}
}

type panics struct{}

func (panics) RoundTrip(*http.Request) (*http.Response, error) { panic("boo") }
