package certs

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ocsp"
)

func points(urls ...string) edit {
	return func(c *x509.Certificate) { c.CRLDistributionPoints = urls }
}

func signsLists(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCRLSign }

// list makes a revocation list of a.
func (a *authority) list(t testing.TB, change func(*x509.RevocationList), revoked ...*x509.Certificate) []byte {
	t.Helper()
	tmpl := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(24 * time.Hour)}
	for _, cert := range revoked {
		tmpl.RevokedCertificateEntries = append(tmpl.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: cert.SerialNumber, RevocationTime: time.Now()})
	}
	if change != nil {
		change(tmpl)
	}
	raw, err := x509.CreateRevocationList(rand.Reader, tmpl, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// issuingPoint limits a list.
func issuingPoint(build func(b *cryptobyte.Builder)) func(*x509.RevocationList) {
	return func(l *x509.RevocationList) {
		var b cryptobyte.Builder
		b.AddASN1(der.SEQUENCE, build)
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: oidIssuingPoint, Critical: true, Value: b.BytesOrPanic()})
	}
}

func pointURL(url string) func(b *cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(der.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(der.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
				b.AddASN1(der.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(url)) })
			})
		})
	}
}

func flag(tag uint8) func(b *cryptobyte.Builder) {
	return func(b *cryptobyte.Builder) {
		b.AddASN1(der.Tag(tag).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddUint8(0xff) })
	}
}

func TestParseCRL(t *testing.T) {
	t.Parallel()
	root, stranger := newRoot(t, "Root", signsLists), newRoot(t, "Root", signsLists)
	const here = "http://crl.example/1"
	taken := root.issue(t, points(here))[0]
	kept := root.issue(t, points(here))[0]
	unknown := func(l *x509.RevocationList) {
		l.ExtraExtensions = append(l.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 27}, Critical: true, Value: []byte{2, 1, 1}})
	}
	for _, test := range []struct {
		name     string
		raw      []byte
		standing Standing // of taken; Unknown: the list is refused or does not cover it
	}{
		{"revoked", root.list(t, nil, taken), Revoked},
		{"not in the list", root.list(t, nil, kept), Good},
		{"signed by another of the same name", stranger.list(t, nil, taken), Unknown},
		{"out of date", root.list(t, func(l *x509.RevocationList) {
			l.ThisUpdate, l.NextUpdate = time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour)
		}, taken), Unknown},
		{"of tomorrow", root.list(t, func(l *x509.RevocationList) {
			l.ThisUpdate, l.NextUpdate = time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)
		}, taken), Unknown},
		{"delta list", root.list(t, unknown, taken), Unknown},
		{"limited to this address", root.list(t, issuingPoint(pointURL(here)), taken), Revoked},
		{"limited to another address", root.list(t, issuingPoint(pointURL("http://crl.example/2")), taken), Unknown},
		{"limited to authorities", root.list(t, issuingPoint(flag(2)), taken), Unknown},
		{"limited to users", root.list(t, issuingPoint(flag(1)), taken), Revoked},
		{"indirect", root.list(t, issuingPoint(flag(4)), taken), Unknown},
		{"some reasons only", root.list(t, issuingPoint(flag(3)), taken), Unknown},
		{"no longer on hold", root.list(t, func(l *x509.RevocationList) {
			l.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: taken.SerialNumber, RevocationTime: time.Now(), ReasonCode: 8}}
		}), Good},
		{"cut off", root.list(t, nil, taken)[:50], Unknown},
		{"not DER", []byte("<html>"), Unknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := Unknown
			list, err := parseCRL(test.raw, root.cert, time.Now())
			if err != nil && !errors.Is(err, errCRL) {
				t.Errorf("an error of another kind: %v", err)
			}
			if err == nil && list.covers(taken, here) {
				got = Good
				if list.has(taken) {
					got = Revoked
				}
			}
			if got != test.standing {
				t.Errorf("the certificate is %v, want %v (%v)", got, test.standing, err)
			}
		})
	}
}

// A list is fetched beside the path: at first nobody knows, then everybody does, and who waited is told ([I01]).
func TestRevocationsFetch(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root", signsLists)
	sub := root.intermediate(t, "Sub", signsLists, points("http://crl.example/root"))
	chain := sub.issue(t, names(san{dns: []string{"partner.example"}}), points("ldap://crl.example/x", "http://crl.example/sub"))
	var serve atomic.Pointer[[]byte]
	empty, full, whole := sub.list(t, nil), sub.list(t, func(l *x509.RevocationList) { l.Number = big.NewInt(2) }, chain[0]), root.list(t, nil)
	serve.Store(&empty)
	changed := make(chan struct{}, 8)
	rv := &Revocations{
		Client: &http.Client{Transport: answers(func(r *http.Request) []byte {
			if r.URL.Path == "/root" {
				return whole
			}
			return *serve.Load()
		})},
		Changed: func() { changed <- struct{}{} },
	}
	v := trusting(root)
	proof := v.Verify(chain, "partner.example")
	if !proof.Proved {
		t.Fatal(proof.Err)
	}
	synctest.Test(t, func(t *testing.T) {
		// The bubble's clock begins in 2000, when the lists were not valid; so move to the present first.
		time.Sleep(time.Until(chain[0].NotBefore.Add(90 * time.Minute)))
		if got := rv.Check(proof, nil); got != Unknown {
			t.Errorf("before any list: %v", got)
		}
		if err := rv.Settle(t.Context()); err != nil {
			t.Error(err)
		}
		if got := rv.Check(proof, nil); got != Good {
			t.Errorf("with both lists: %v (%v)", got, rv.Troubles())
		}
		serve.Store(&full)
		synctest.Wait()
		if got := rv.Check(proof, nil); got != Good {
			t.Errorf("a fresh list was fetched again: %v", got)
		}
		time.Sleep(crlFresh)
		rv.Check(proof, nil)
		synctest.Wait()
		if got := rv.Check(proof, nil); got != Revoked {
			t.Errorf("with the new list: %v", got)
		}
		if len(changed) != 3 {
			t.Errorf("told of %d changes, want 3", len(changed))
		}
	})
}

// Who waits for lists is told when the wait is over, and may give up; with nothing to wait for there is no wait.
func TestRevocationsSettle(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root", signsLists)
	chain := root.issue(t, names(san{dns: []string{"partner.example"}}), points("http://crl.example/"))
	proof := trusting(root).Verify(chain, "partner.example")
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		rv := &Revocations{Client: &http.Client{Transport: answers(func(*http.Request) []byte { <-answer; return nil })}}
		if err := rv.Settle(t.Context()); err != nil {
			t.Error("nothing is fetched:", err)
		}
		rv.Check(proof, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := rv.Settle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for a silent server ended with %v", err)
		}
		close(answer)
		if err := rv.Settle(t.Context()); err != nil || len(rv.Troubles()) != 1 {
			t.Errorf("after its answer: %v, troubles %v", err, rv.Troubles())
		}
	})
}

// A server that fails is not asked at once again, and what was known holds until its own end.
func TestRevocationsKeepTheOldList(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root", signsLists)
	chain := root.issue(t, names(san{dns: []string{"partner.example"}}), points("http://crl.example/"))
	list := root.list(t, nil, chain[0])
	var down atomic.Bool
	var asked atomic.Int32
	rv := &Revocations{Client: &http.Client{Transport: answers(func(*http.Request) []byte {
		asked.Add(1)
		if down.Load() {
			return nil
		}
		return list
	})}}
	proof := trusting(root).Verify(chain, "partner.example")
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(chain[0].NotBefore.Add(90 * time.Minute)))
		rv.Check(proof, nil)
		synctest.Wait()
		down.Store(true)
		for range 12 {
			time.Sleep(crlFresh)
			if got := rv.Check(proof, nil); got != Revoked {
				t.Fatalf("the certificate is %v while its list cannot be fetched again", got)
			}
			synctest.Wait()
		}
		before := asked.Load()
		for range 100 {
			rv.Check(proof, nil)
			synctest.Wait()
		}
		if asked.Load() != before || len(rv.Troubles()) != 1 {
			t.Errorf("asked %d times more; troubles %v", asked.Load()-before, rv.Troubles())
		}
		time.Sleep(24 * time.Hour)
		if got := rv.Check(proof, nil); got != Unknown {
			t.Errorf("an old list still says %v", got)
		}
	})
}

func TestStapled(t *testing.T) {
	t.Parallel()
	root, stranger := newRoot(t, "Root"), newRoot(t, "Root")
	leaf, other := root.issue(t)[0], root.issue(t)[0]
	staple := func(by *authority, of *x509.Certificate, status int, from, until time.Duration) []byte {
		raw, err := ocsp.CreateResponse(by.cert, by.cert, ocsp.Response{Status: status, SerialNumber: of.SerialNumber,
			ThisUpdate: time.Now().Add(from), NextUpdate: time.Now().Add(until), RevokedAt: time.Now().Add(from)}, by.key)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for _, test := range []struct {
		name   string
		staple []byte
		want   Standing
	}{
		{"good", staple(root, leaf, ocsp.Good, -time.Hour, time.Hour), Good},
		{"revoked", staple(root, leaf, ocsp.Revoked, -time.Hour, time.Hour), Revoked},
		{"unknown to the authority", staple(root, leaf, ocsp.Unknown, -time.Hour, time.Hour), Unknown},
		{"of yesterday", staple(root, leaf, ocsp.Good, -48*time.Hour, -24*time.Hour), Unknown},
		{"of tomorrow", staple(root, leaf, ocsp.Good, 24*time.Hour, 48*time.Hour), Unknown},
		{"for another certificate", staple(root, other, ocsp.Good, -time.Hour, time.Hour), Unknown},
		{"signed by another", staple(stranger, leaf, ocsp.Good, -time.Hour, time.Hour), Unknown},
		{"none", nil, Unknown},
		{"garbage", []byte("x"), Unknown},
	} {
		if got := stapled(test.staple, leaf, root.cert, time.Now()); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// Without an authority there is nobody who could take a certificate back.
func TestNobodyToAsk(t *testing.T) {
	t.Parallel()
	self := selfSigned(t)
	r := trusting().VerifyDANE(self, Delegation{Domain: "partner.example", TLSA: []TLSA{tlsa(daneEE, 1, 1, self[0])}})
	if got := new(Revocations).Check(r, nil); !r.Proved || got != Unknown {
		t.Errorf("%v, %v", r.Err, got)
	}
	if got := new(Revocations).Check(Result{}, nil); got != Unknown {
		t.Errorf("the zero result is %v", got)
	}
}

func FuzzCRL(f *testing.F) {
	root := newRoot(f, "Root", signsLists)
	leaf := root.issue(f)[0]
	f.Add(root.list(f, nil, leaf))
	f.Add(root.list(f, issuingPoint(pointURL("http://crl.example/"))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if list, err := parseCRL(raw, root.cert, time.Now()); err == nil {
			list.covers(leaf, "http://crl.example/")
			list.has(leaf)
		}
		var s cryptobyte.String = raw
		if scope, err := parseScope(s); err == nil && scope.urls != nil && len(scope.urls) == 0 {
			t.Error("a name without address")
		}
	})
}
