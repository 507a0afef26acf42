package probe_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/jid"
	"sallyport/internal/probe"
	"sallyport/internal/ratchet"
	"sallyport/internal/xmpptest"
	"sallyport/policy"
)

// scene is what a script of testdata begins with.
type scene struct {
	data    policy.Data
	mode    string
	zone    []string
	secure  []string
	breaks  map[string]xmpptest.Fault
	memory  *ratchet.Peer
	route   string
	dnssec  bool // the resolver validates
	public  bool // addresses must be public ones
	keyless bool // there is no dialback secret
	absent  bool // no gate answers
	brief   bool // the probe has a second
	want    [][2]string
	script  string
}

// TestRemote plays each script of testdata: the pretend server's part of a conversation with a probe. Beside the lines of xmpptest.Converse
// there are
//
//	zone RECORD         what DNS says; PORT, PORT2 and CLOSED are ports of the server, SPKI is the hash of the good certificate's key
//	secure NAME         DNSSEC vouches for the name and all below it, and the resolver validates
//	silent NAME         DNS does not answer about the name
//	data {…}            the policy's data; without it everybody may federate
//	memory {…}          what the ratchet remembers
//	web URL BODY        a document; SHA-256-STRANGER in it is the hash of that certificate
//	set WORD            one of observe, public, keyless, absent, brief, or route=…
//	want grade …        and so on: what the report must say; "want no fix" and the like: what it must not
func TestRemote(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/[a-z]*.txt")
	must(t, err)
	if len(files) < 30 {
		t.Fatalf("only %d scripts found", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			o := s.read(file)
			s.names.Set(t, o.zone...)
			s.names.Vouch(o.secure...)
			for name, how := range o.breaks {
				s.names.Break(name, how)
			}
			p := s.prober(o)
			found := make(chan *probe.Report, 1)
			limit := patience
			if o.brief {
				limit = time.Second
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			go func() { found <- p.Remote(ctx, jid.MustDomain(remote)) }()
			talk := xmpptest.Begin(t, s.Stage)
			talk.Play(s.places.Replace(o.script))
			talk.End()
			r := <-found
			checkReport(t, r, o.want, s.places)
		})
	}
}

// read reads a script and what it includes.
func (s *stage) read(file string) (o scene) {
	s.t.Helper()
	b, err := os.ReadFile(file)
	must(s.t, err)
	o = scene{data: policy.Data{"federation": "open"}, breaks: map[string]xmpptest.Fault{}}
	var script []string
	for line := range strings.SplitSeq(string(b), "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "zone":
			o.zone = append(o.zone, s.places.Replace(rest))
		case "secure":
			o.secure, o.dnssec = append(o.secure, rest), true
		case "silent":
			o.breaks[rest] = xmpptest.Silent
		case "data":
			o.data = policy.Data{}
			must(s.t, json.Unmarshal([]byte(rest), &o.data))
		case "memory":
			o.memory = new(ratchet.Peer)
			must(s.t, json.Unmarshal([]byte(rest), o.memory))
		case "web":
			url, body, _ := strings.Cut(rest, " ")
			s.web[url] = []byte(strings.ReplaceAll(body, "SHA-256-STRANGER", s.fingerprint("stranger")))
		case "set":
			o.set(s.t, rest)
		case "want":
			kind, text, _ := strings.Cut(rest, " ")
			o.want = append(o.want, [2]string{kind, text})
		case "include":
			inner := s.read(filepath.Join(filepath.Dir(file), rest+".txt"))
			o.zone = append(o.zone, inner.zone...)
			script = append(script, inner.script)
		default:
			script = append(script, line)
		}
	}
	o.script = strings.Join(script, "\n")
	return o
}

func (o *scene) set(t testing.TB, word string) {
	t.Helper()
	switch {
	case word == "observe":
		o.mode = "observe"
	case word == "public":
		o.public = true
	case word == "keyless":
		o.keyless = true
	case word == "absent":
		o.absent = true
	case word == "brief":
		o.brief = true
	case strings.HasPrefix(word, "route="):
		o.route = strings.TrimPrefix(word, "route=")
	default:
		t.Fatalf("set %q: not known", word)
	}
}

// checkReport compares a report with what the script wants, and holds it to what every report must be.
func checkReport(t *testing.T, r *probe.Report, want [][2]string, places *strings.Replacer) {
	t.Helper()
	var page strings.Builder
	must(t, r.Page(&page))
	whole, err := json.Marshal(r)
	must(t, err)
	has := map[string][]string{
		"grade": {string(r.Grade)}, "offers": {string(r.Offers)}, "reason": {r.Reason}, "flaw": r.Flaws,
		"external": {r.Proof.External.String()}, "dialback": {r.Proof.Dialback.String()}, "page": {strings.Join(strings.Fields(page.String()), " ")}, "json": {string(whole)},
	}
	for _, f := range r.Fixes {
		has["fix"] = append(has["fix"], strings.Join([]string{f.Who, f.What, f.Record, f.Option}, " | "))
	}
	for _, w := range want {
		kind, text := w[0], places.Replace(w[1])
		no := kind == "no"
		if no {
			kind, text, _ = strings.Cut(text, " ")
		}
		all, known := has[kind]
		if !known && kind != "fix" {
			t.Errorf("want %s: not known", kind)
		}
		found := slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, text) })
		if kind == "grade" || kind == "offers" {
			found = all[0] == text
		}
		if found == no {
			if kind == "page" || kind == "json" {
				all = nil // shown below
			}
			t.Errorf("want %s %q, no: %v; have %q", kind, text, no, all)
		}
	}
	if t.Failed() {
		t.Logf("the page:\n%s", page.String())
	}
	if r.Federates != r.Grade.Federates() || r.Reason == "" || len(want) == 0 {
		t.Errorf("federates %v with grade %q, reason %q, %d wants", r.Federates, r.Grade, r.Reason, len(want))
	}
	if r.Grade != probe.Strong && len(r.Fixes) == 0 {
		t.Error("something is amiss, and nothing is said that mends it")
	}
	harmless(t, page.String(), string(whole))
	narrow(t, r, page.String())
}

// harmless: nothing that a terminal would obey.
func harmless(t *testing.T, page, whole string) {
	t.Helper()
	for name, text := range map[string]string{"page": strings.ReplaceAll(page, "\n", ""), "JSON": whole} {
		if !utf8.ValidString(text) {
			t.Errorf("the %s is not UTF-8", name)
		}
		for _, c := range text {
			if !unicode.IsGraphic(c) {
				t.Errorf("the %s has the character %U", name, c)
			}
		}
		if len(text) > 64<<10 {
			t.Errorf("the %s has %d bytes", name, len(text))
		}
	}
}

// narrow: a page fits 100 columns, but for what is to be copied.
func narrow(t *testing.T, r *probe.Report, page string) {
	t.Helper()
	for line := range strings.SplitSeq(page, "\n") {
		copied := slices.ContainsFunc(r.Fixes, func(f probe.Fix) bool { text := strings.TrimSpace(line); return text == f.Record || text == f.Option })
		if n := utf8.RuneCountInString(line); n > 100 && !copied {
			t.Errorf("a line of %d columns: %s", n, line)
		}
	}
}
