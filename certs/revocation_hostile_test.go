package certs

import (
	"context"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ocsp"
)

// An answer about a certificate counts only from its authority, or from one that the authority made for answering (RFC 6960 §4.2.2.2):
// whoever has lost a certificate has another one of the same authority, or that very one, and could sign that all is well.
func TestStapledByACustomer(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root")
	key := newKey(t) // the attacker has it, whatever certificates it goes with
	issue := func(edits ...edit) *x509.Certificate {
		chain, _ := root.issueFor(t, key, edits...)
		return chain[0]
	}
	lost := issue(names(san{dns: []string{"partner.example"}}))
	answers := func(responder *x509.Certificate) Standing {
		raw, err := ocsp.CreateResponse(root.cert, responder, ocsp.Response{Status: ocsp.Good, SerialNumber: lost.SerialNumber, Certificate: responder,
			ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(time.Hour)}, key)
		if err != nil {
			t.Fatal(err)
		}
		return stapled(raw, lost, root.cert, time.Now())
	}
	purpose := func(use ...x509.ExtKeyUsage) edit { return func(c *x509.Certificate) { c.ExtKeyUsage = use } }
	late := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	for name, test := range map[string]struct {
		responder *x509.Certificate
		want      Standing
	}{
		"the certificate itself":      {lost, Unknown},
		"another customer":            {issue(), Unknown},
		"one for any purpose":         {issue(purpose(x509.ExtKeyUsageAny)), Unknown},
		"one for answering, too late": {issue(purpose(x509.ExtKeyUsageOCSPSigning), late), Unknown},
		"one for answering":           {issue(purpose(x509.ExtKeyUsageOCSPSigning)), Good},
	} {
		if got := answers(test.responder); got != test.want {
			t.Errorf("[I01] an answer signed by %s: %v, want %v", name, got, test.want)
		}
	}
}

// Lists travel in clear: one from before the certificate was taken back, still in date, does not give it back; nor does an older
// answer that is stapled.
func TestRevocationIsNotTakenBack(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root", signsLists)
	chain := root.issue(t, names(san{dns: []string{"partner.example"}}), points("http://crl.example/"))
	proof := trusting(root).Verify(chain, "partner.example")
	before := root.list(t, func(l *x509.RevocationList) { l.ThisUpdate = time.Now().Add(-2 * time.Hour) })
	after := root.list(t, func(l *x509.RevocationList) { l.Number = big.NewInt(2) }, chain[0])
	staple, err := ocsp.CreateResponse(root.cert, root.cert, ocsp.Response{Status: ocsp.Good, SerialNumber: chain[0].SerialNumber,
		ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: time.Now().Add(24 * time.Hour)}, root.key)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(chain[0].NotBefore.Add(90 * time.Minute)))
		var told strings.Builder // one fetch at a time writes
		var serve atomic.Pointer[[]byte]
		serve.Store(&after)
		rv := &Revocations{Client: &http.Client{Transport: answers(func(*http.Request) []byte { return *serve.Load() })}, Log: slog.New(slog.NewTextHandler(&told, nil))}
		rv.Check(proof, nil)
		synctest.Wait()
		if got := rv.Check(proof, staple); got != Revoked {
			t.Errorf("[I01] in the list, and good by an older answer: %v", got)
		}
		serve.Store(&before)
		time.Sleep(crlFresh)
		rv.Check(proof, nil)
		synctest.Wait()
		if got := rv.Check(proof, nil); got != Revoked {
			t.Errorf("[I01] an older list made it %v", got)
		}
		rv.Check(proof, nil) // it is not told again
		time.Sleep(crlRetry)
		rv.Check(proof, nil)
		synctest.Wait()
		if n := strings.Count(told.String(), "cannot be had"); n != 1 || !strings.Contains(told.String(), "http://crl.example/") {
			t.Errorf("told %d times: %s", n, told.String())
		}
		if all := rv.Troubles(); len(all) != 1 || !strings.Contains(all["http://crl.example/"].Error(), "older") {
			t.Errorf("troubles: %v", all)
		}
	})
}

// A list in which one serial number has taken the place of another is another list, with or without a number of its own.
func TestListsDifferByWhatTheySay(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root", signsLists)
	chain := root.issue(t, names(san{dns: []string{"partner.example"}}), points("http://crl.example/"))
	proof := trusting(root).Verify(chain, "partner.example")
	first, second := root.list(t, nil, root.issue(t)[0]), root.list(t, nil, chain[0])
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(chain[0].NotBefore.Add(90 * time.Minute)))
		var serve atomic.Pointer[[]byte]
		serve.Store(&first)
		var changed atomic.Int32
		rv := &Revocations{Client: &http.Client{Transport: answers(func(*http.Request) []byte { return *serve.Load() })}, Changed: func() { changed.Add(1) }}
		for want := range 3 {
			rv.Check(proof, nil)
			synctest.Wait()
			if got := int(changed.Load()); got != min(want+1, 2) {
				t.Errorf("told of %d changes after fetch %d", got, want+1)
			}
			serve.Store(&second)
			time.Sleep(crlFresh)
		}
	})
}

// An authority that a domain names in DNS is the domain's own: its lists are not fetched, for a stranger would choose whom we call.
func TestNoListsOfAStrangersAuthority(t *testing.T) {
	t.Parallel()
	own := newRoot(t, "Own", signsLists)
	chain := append(own.issue(t, names(san{dns: []string{"partner.example"}}), points("http://crl.example/")), own.cert)
	r := trusting().VerifyDANE(chain, Delegation{Domain: "partner.example", TLSA: []TLSA{tlsa(daneTA, 1, 1, own.cert)}})
	rv := &Revocations{Client: &http.Client{Transport: answers(func(*http.Request) []byte { t.Error("it is asked for"); return nil })}}
	if got := rv.Check(r, nil); !r.Proved || got != Unknown {
		t.Errorf("%v, %v", r.Err, got)
	}
	rv.Shutdown(t.Context())
}

// Nothing that fetches outlives the gate: what is under way may end, and is cut off when there is no more time; then nothing begins.
func TestFetchesEnd(t *testing.T) {
	t.Parallel()
	root := newRoot(t, "Root", signsLists)
	chain := root.issue(t, names(san{dns: []string{"partner.example"}}), points("http://crl.example/"))
	proof := trusting(root).Verify(chain, "partner.example")
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		hangs := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			asked.Add(1)
			<-r.Context().Done()
			return nil, context.Cause(r.Context())
		})}
		rv, posh := &Revocations{Client: hangs}, &POSHSource{Client: hangs}
		rv.Check(proof, nil)
		waiting := make(chan error, 1)
		go func() {
			_, err := posh.Fingerprints(t.Context(), "partner.example")
			waiting <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		rv.Shutdown(ctx)
		posh.Shutdown(ctx)
		if took := time.Since(begun); took != time.Second {
			t.Errorf("the shutdown took %v", took)
		}
		if err := <-waiting; err == nil {
			t.Error("a document came")
		}
		rv.Check(proof, nil)
		if _, err := posh.Fingerprints(t.Context(), "other.example"); err == nil {
			t.Error("a document is fetched after the shutdown")
		}
		rv.Shutdown(ctx)
		if asked.Load() != 2 {
			t.Errorf("asked %d times", asked.Load())
		}
	})
}

// roundTrip is a transport of one function.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
