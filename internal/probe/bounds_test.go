package probe_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"sallyport/internal/jid"
	"sallyport/internal/probe"
	"sallyport/policy"
)

// A domain with many addresses costs eight calls, four of them at once ([B10]'s kind of care: strangers choose what DNS says).
func TestCallsAreBounded(t *testing.T) {
	t.Parallel()
	const most, atOnce, all = 8, 4, 12
	s := newStage(t)
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	must(t, err)
	defer ln.Close()
	var zone []string
	for i := range all {
		host := fmt.Sprintf("xmpp%d.remote.example.", i/4)
		zone = append(zone, fmt.Sprintf("%s 60 IN A 127.0.1.%d", host, i+1))
		if i%4 == 0 {
			zone = append(zone, fmt.Sprintf("_xmpp-server._tcp.remote.example. 60 IN SRV %d 5 %s %s", i, port(ln), host))
		}
	}
	s.names.Set(t, zone...)
	p := s.prober(scene{data: policy.Data{"federation": "open"}})
	found := make(chan *probe.Report, 1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { found <- p.Remote(ctx, jid.MustDomain(remote)) }()
	calls := 0
	for calls < most {
		var open []net.Conn
		for range atOnce { // all four must come before any of them ends
			conn, err := ln.Accept()
			must(t, err)
			open = append(open, conn)
		}
		calls += len(open)
		must(t, ln.(*net.TCPListener).SetDeadline(time.Now().Add(100*time.Millisecond)))
		if _, err := ln.Accept(); err == nil {
			t.Fatalf("a connection came while %d were open", atOnce)
		}
		must(t, ln.(*net.TCPListener).SetDeadline(time.Time{}))
		for _, conn := range open {
			io.WriteString(conn, "nonsense")
			conn.Close()
		}
	}
	r := <-found
	if len(r.Endpoints) != most || r.Skipped != all-most || r.Grade != probe.Broken {
		t.Errorf("%d addresses called, %d skipped, %s: want %d and %d, broken", len(r.Endpoints), r.Skipped, r.Grade, most, all-most)
	}
}

// A probe that is given up comes back at once, with what is known.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := s.prober(scene{data: policy.Data{"federation": "open"}}).Remote(ctx, jid.MustDomain(remote)); r.Grade != probe.Broken || r.DNS.Problem == "" {
		t.Errorf("grade %s, DNS %q", r.Grade, r.DNS.Problem)
	}
}

// The page that describes the document knows each of its keys.
func TestDocumentIsDescribed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/probe.md")
	must(t, err)
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || !strings.HasSuffix(typ.PkgPath(), "internal/probe") {
			return
		}
		seen[typ] = true
		for field := range typ.Fields() {
			key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if key == "" {
				continue
			}
			if !bytes.Contains(text, []byte("`"+key+"`")) && !bytes.Contains(text, []byte("`"+key+"[]`")) && !bytes.Contains(text, []byte("[]."+key+"`")) && !bytes.Contains(text, []byte("`."+key+"`")) {
				t.Errorf("docs/probe.md does not describe %s of %s", key, typ.Name())
			}
			walk(field.Type)
		}
	}
	walk(reflect.TypeFor[probe.Report]())
	if len(seen) < 15 {
		t.Errorf("only %d parts of the document found", len(seen))
	}
}
