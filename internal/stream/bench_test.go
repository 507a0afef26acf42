package stream

import (
	"strings"
	"testing"
)

func BenchmarkAccept(b *testing.B) {
	header := shorthand.Replace("H(from='remote.example' to='corp.example' version='1.0')")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Accept(b.Context(), &canned{says: strings.NewReader(header)}, strict, hostsCorp, offers); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWrite shows what Write costs above the connection.
func BenchmarkWrite(b *testing.B) {
	conn := &canned{says: strings.NewReader(shorthand.Replace("H()"))}
	s, err := Accept(b.Context(), conn, Config{}, hostsCorp, nothing)
	if err != nil {
		b.Fatal(err)
	}
	message := []byte("<message>" + strings.Repeat("a", 300) + "</message>")
	b.ReportAllocs()
	for b.Loop() {
		conn.heard.Reset()
		if _, err := s.Write(message); err != nil {
			b.Fatal(err)
		}
	}
}
