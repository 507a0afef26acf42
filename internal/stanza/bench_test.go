package stanza

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// endless delivers a header and then the same elements over and over, as many bytes as it is asked for but no more than chunk at once.
type endless struct {
	header, body string
	at, chunk    int
}

func (r *endless) Read(p []byte) (int, error) {
	if r.header != "" {
		n := copy(p, r.header)
		r.header = r.header[n:]
		return n, nil
	}
	if r.chunk > 0 {
		p = p[:min(len(p), r.chunk)]
	}
	n := 0
	for n < len(p) {
		m := copy(p[n:], r.body[r.at:])
		r.at = (r.at + m) % len(r.body)
		n += m
	}
	return n, nil
}

const plainHeader = `<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' ` +
	`xmlns:stream='http://etherx.jabber.org/streams' from='a.example' to='b.example' id='1' version='1.0'>`

// message returns a stanza of about size bytes, as clients send them.
func message(size int, body string) string {
	s := `<message from='juliet@capulet.example/balcony' to='romeo@montague.example' id='Zf3k9QpL' type='chat' xml:lang='en'>` +
		`<body>%s</body><active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/></message>`
	return fmt.Sprintf(s, strings.Repeat(body, max(1, (size-len(s)+2)/len(body))))
}

func BenchmarkScan(b *testing.B) {
	const english = "I met a lady in the meads, full beautiful, a faery's child; "
	for _, c := range []struct{ name, element string }{
		{"300B", message(300, "a letter")},
		{"2kB", message(2000, english)},
		{"20kB", message(20000, english)},
		{"2kBGreek", message(2000, "ἄνδρα μοι ἔννεπε, μοῦσα, πολύτροπον ")},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := NewScanner(&endless{header: plainHeader, body: c.element}, Limits{})
			if _, err := s.Header(); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(c.element)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBatch reads bursts that drain the buffer each time, the worst case for a buffer that is given back when drained.
func BenchmarkBatch(b *testing.B) {
	element := message(300, "a letter")
	for _, burst := range []int{1, 10, 50, 200} {
		b.Run(fmt.Sprint(burst), func(b *testing.B) {
			s := NewScanner(&bursts{element: []byte(strings.Repeat(element, burst)), header: plainHeader}, Limits{})
			if _, err := s.Header(); err != nil {
				b.Fatal(err)
			}
			batch := make([]Element, 0, 64)
			b.SetBytes(int64(len(element)))
			b.ReportAllocs()
			seen := 0
			for b.Loop() {
				if seen > 0 {
					seen--
					continue
				}
				var err error
				if batch, err = s.Batch(batch, 64); err != nil {
					b.Fatal(err)
				}
				seen = len(batch) - 1
			}
		})
	}
}

// bursts delivers one burst after the other, never two in one read.
type bursts struct {
	header  string
	element []byte
	at      int
}

func (r *bursts) Read(p []byte) (int, error) {
	if r.header != "" {
		n := copy(p, r.header)
		r.header = r.header[n:]
		return n, nil
	}
	n := copy(p, r.element[r.at:])
	r.at = (r.at + n) % len(r.element)
	return n, nil
}

func BenchmarkAppendTo(b *testing.B) {
	for _, c := range []struct {
		name string
		o    Rewrite
	}{
		{"verbatim", Rewrite{From: "juliet@capulet.example/balcony", To: "romeo@montague.example"}},
		{"addressed", Rewrite{From: "julia@capulet.example/balcony", To: "romeo@montague.example"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, err := ParseOne([]byte(message(300, "a letter")), Limits{})
			if err != nil {
				b.Fatal(err)
			}
			dst := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				dst = e.AppendTo(dst[:0], c.o)
			}
		})
	}
}

var _ io.Reader = (*endless)(nil)
