package certs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// shelved are lists at /0, /1 and so on, each of many numbers, with the proof of a certificate that points to it and is in it.
type shelved struct {
	rv     *Revocations
	proofs []Result
	lists  [][]byte
	asked  map[string]int
}

func newShelved(t *testing.T, numbers ...int) *shelved {
	t.Helper()
	root := newRoot(t, "Root", signsLists)
	other := root.issue(t)[0]
	s := &shelved{asked: make(map[string]int)}
	for i, n := range numbers {
		chain := root.issue(t, names(san{dns: []string{"partner.example"}}), points(fmt.Sprintf("http://crl.example/%d", i)))
		s.proofs = append(s.proofs, trusting(root).Verify(chain, "partner.example"))
		s.lists = append(s.lists, root.list(t, func(l *x509.RevocationList) {
			for j := range n {
				next := *other.SerialNumber
				next.SetInt64(int64(1000 + j))
				l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: &next, RevocationTime: time.Now()})
			}
			l.NextUpdate = time.Now().Add(20 * 24 * time.Hour)
		}, chain[0]))
	}
	s.rv = &Revocations{Client: &http.Client{Transport: answers(func(r *http.Request) []byte {
		s.asked[r.URL.Path]++ // one at a time, as synctest.Wait sees to
		var i int
		fmt.Sscanf(r.URL.Path, "/%d", &i)
		return s.lists[i]
	})}}
	return s
}

// fetch asks about a certificate, and again when its list has had the time to come.
func (s *shelved) fetch(i int) Standing {
	s.rv.Check(s.proofs[i], nil)
	synctest.Wait()
	return s.rv.Check(s.proofs[i], nil)
}

// begin moves a bubble's clock, which stands at the year 2000, to when the lists are valid.
func (s *shelved) begin() {
	time.Sleep(time.Until(s.proofs[0].way[0].NotBefore.Add(90 * time.Minute)))
}

// All lists together have a number of bytes: what is in use stays, what is not makes room, and what finds none is Unknown for a reason
// that names the limit. A certificate that was shown and is taken back stays so, without its list ([I01]).
func TestListsShareTheirRoom(t *testing.T) {
	t.Parallel()
	s := newShelved(t, 1000, 1000, 1000, 10)
	synctest.Test(t, func(t *testing.T) {
		s.begin()
		s.rv.Limit(55_000) // two of the long ones
		for i := range 2 {
			if got := s.fetch(i); got != Revoked {
				t.Errorf("list %d fits, and says %v", i, got)
			}
		}
		if got := s.fetch(2); got != Unknown || !errors.Is(s.rv.Trouble(s.proofs[2]), errNoRoom) {
			t.Errorf("a list without room says %v, for %v", got, s.rv.Trouble(s.proofs[2]))
		}
		for range 20 {
			s.fetch(2)
		}
		if n := s.asked["/2"]; n != 1 {
			t.Errorf("a list that finds no room is fetched %d times", n)
		}
		for range 2 { // list 0 is in use, list 1 is not
			time.Sleep(inUse/2 + time.Minute)
			s.fetch(0)
		}
		if got := s.fetch(2); got != Revoked || s.rv.Trouble(s.proofs[2]) != nil {
			t.Errorf("with room made: %v, for %v", got, s.rv.Trouble(s.proofs[2]))
		}
		if got := s.rv.Check(s.proofs[0], nil); got != Revoked {
			t.Errorf("the list in use says %v", got)
		}
		if got := s.rv.Check(s.proofs[1], nil); got != Revoked {
			t.Errorf("a certificate that was met before its list made room is %v", got)
		}
		synctest.Wait()
		if got := s.rv.Check(s.proofs[1], nil); got != Revoked || s.asked["/1"] < 2 {
			t.Errorf("while its list finds no room, the certificate is %v (asked %d times)", got, s.asked["/1"])
		}
		if s.rv.shelf.bytes > 55_000 {
			t.Errorf("they take %d bytes", s.rv.shelf.bytes)
		}
	})
}

// Lists that are past their end go before one that is in date, however long ago that was asked for; and a list that grows keeps
// the copy that fitted.
func TestSpentListsGoFirst(t *testing.T) {
	t.Parallel()
	now := time.Now()
	list := func(n int, until time.Time) *crl { return &crl{serials: make([]serial, n), until: until} }
	a, b, c := listKey{url: "a"}, listKey{url: "b"}, listKey{url: "c"}
	s := shelf{limit: 3*copyBytes + 25*200}
	for _, key := range []listKey{a, b} {
		s.at(key, now.Add(-3*inUse))
	}
	s.put(s.copies[a], list(100, now.Add(time.Hour)))
	s.put(s.copies[b], list(100, now.Add(-time.Hour)))
	s.copies[b].used = now // it was asked for, in vain
	grown := s.at(c, now)
	if !s.fit(100*20, grown, now) || s.copies[b] != nil || s.copies[a] == nil {
		t.Fatalf("left: %v", s.copies)
	}
	s.put(grown, list(100, now.Add(time.Hour)))
	if s.fit(1000*20, grown, now) || s.copies[a] == nil || grown.list.size() != 2000 {
		t.Error("a list that cannot have room drives others out, or loses its own")
	}
}

// The copies are counted, too: strangers may show certificates that point to any number of addresses.
func TestEmptyCopiesAreCounted(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := shelf{limit: 10 * copyBytes}
	for i := range 100 {
		if c := s.at(listKey{url: fmt.Sprint(i)}, now); (c != nil) != (i < 10) {
			t.Fatalf("copy %d: %v", i, c)
		} else if c != nil {
			c.next = now.Add(crlRetry)
		}
	}
	later := now.Add(crlRetry)
	if s.at(listKey{url: "x"}, later) == nil || len(s.copies) > 10 || s.bytes != len(s.copies)*copyBytes {
		t.Errorf("%d copies of %d bytes", len(s.copies), s.bytes)
	}
}
