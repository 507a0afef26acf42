package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// TestCommandLine: exit codes 0 done, 1 a fault was found, 2 called wrongly (DESIGN §4.1); what is wrong goes to standard error, one a
// line, and to nowhere else.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	faulty := filepath.Join(dir, "faulty.yaml")
	must(t, os.WriteFile(faulty, []byte("backends: []\nfoo: 1\ninside: {listen: nowhere}\noutside: {listen: [127.0.3.1:5269]}\n"), 0o600))
	three := faulty + ":1: backends is missing.*\n" + faulty + ":2: unknown key \"foo\".*\n" + faulty + ":3: inside.listen: .*\n"
	for line, want := range map[string]struct {
		code           int
		stdout, stderr string // regular expressions of the whole
	}{
		"":                                {0, `(?s)A guarded way.*Usage:.*  run  .*`, ``},
		"--help":                          {0, `(?s)A guarded way.*Exit codes: 0 done, 1.*Usage:.*`, ``},
		"version":                         {0, "sallyport devel\n", ``},
		"--version":                       {0, "sallyport devel\n", ``},
		"run --help":                      {0, `(?s)Run the gate.*--config FILE.*`, ``},
		"audit":                           {0, `(?s)Read and verify.*  search  .*`, ``},
		"nonsense":                        {2, ``, "sallyport: unknown command \"sallyport nonsense\"; see sallyport --help\n"},
		"runn":                            {2, ``, "sallyport: unknown command \"sallyport runn\"; did you mean run\\?\n"},
		"audit nonsense":                  {2, ``, "sallyport: unknown command \"sallyport audit nonsense\"; see sallyport audit --help\n"},
		"policy chek":                     {2, ``, "sallyport: unknown command \"sallyport policy chek\"; did you mean check\\?\n"},
		"run extra":                       {2, ``, "sallyport: it takes no arguments; see sallyport run --help\n"},
		"run --foo":                       {2, ``, "sallyport: unknown flag: --foo; see sallyport run --help\n"},
		"run -c":                          {2, ``, "sallyport: flag needs an argument: 'c' in -c; see sallyport run --help\n"},
		"peers show":                      {2, ``, "sallyport: it takes DOMAIN; see sallyport peers show --help\n"},
		"peers show a.example b.example":  {2, ``, "sallyport: it takes DOMAIN; see sallyport peers show --help\n"},
		"peers pin":                       {2, ``, "sallyport: it takes DOMAIN \\[sha256/KEY ...\\]; see sallyport peers pin --help\n"},
		"audit tail -n many":              {2, ``, "sallyport: invalid argument \"many\" for .*; see sallyport audit tail --help\n"},
		"audit search --since yesterday":  {2, ``, "sallyport: --since: \"yesterday\" is neither a day .*\n"},
		"audit search --until 2026-13-01": {2, ``, "sallyport: --until: .*\n"},
		"audit search --kind nosuch":      {2, ``, "sallyport: --kind: there are no events of kind \"nosuch\"; docs/reference/audit-events.md lists them\n"},
		"audit search --effect allowed":   {2, ``, "sallyport: --effect: \"allowed\" is not allow, deny or drop\n"},
		"audit search --limit -1":         {2, ``, "sallyport: --limit: -1 is less than nothing\n"},
		"run -c DIR/none.yaml":            {1, ``, "DIR/none.yaml: no such file or directory\n"},
		"run -c DIR":                      {1, ``, "DIR: is a directory\n"},
		"run -c FAULTY":                   {1, ``, three},
		"check -c FAULTY":                 {1, ``, three},
		"policy check -c FAULTY":          {1, ``, three},
		"status -c FAULTY":                {1, ``, three},
		"audit search -c FAULTY":          {1, ``, three},
		"status --socket DIR/none":        {1, ``, "no gate answers at DIR/none: no such file or directory; is it running\\?\n"},
		"audit search --dir DIR":          {1, ``, "there is no record in DIR; is it the audit.dir of the gate\\?\n"},
		"audit tail --dir DIR":            {1, ``, "there is no record in DIR; .*\n"},
		"audit verify --dir DIR":          {1, ``, "there is no record in DIR; .*\n"},
		"audit search --limit x":          {2, ``, `sallyport: invalid argument "x" for "--limit" flag; see sallyport audit search --help` + "\n"},
		"audit search --since 2026-02-01 --until 2026-01-01": {2, ``, "sallyport: --until 2026-01-01 is not after --since 2026-02-01\n"},
		"audit verify --dir DIR/none":                        {1, ``, "reading the record: open DIR/none: no such file or directory; is it the audit.dir of the gate\\?\n"},
		"demo --once --keep DIR":                             {1, ``, "keeping the demo in DIR: it is not empty, .*\n"},
		"demo --once --keep FAULTY/below":                    {1, ``, "keeping the demo in FAULTY/below: .*not a directory\n"},
		"audit search --dir DIR -c NOTHING":                  {1, ``, "there is no record in DIR; .*\n"}, // --dir needs no configuration
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			place := strings.NewReplacer("DIR", dir, "FAULTY", faulty)
			code, stdout, stderr := call(strings.Fields(place.Replace(line))...)
			if code != want.code {
				t.Errorf("exit %d, want %d", code, want.code)
			}
			for _, got := range []struct{ name, have, want string }{{"stdout", stdout, want.stdout}, {"stderr", stderr, place.Replace(want.stderr)}} {
				if !regexp.MustCompile("^(?:" + got.want + ")$").MatchString(got.have) {
					t.Errorf("%s: %q does not match %q", got.name, got.have, got.want)
				}
			}
		})
	}
}

// keys lists the paths of a JSON value: of lists those of the first element.
func keys(v any, path string, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			keys(inner, strings.TrimPrefix(path+"."+k, "."), into)
		}
	case []any:
		if len(v) > 0 {
			keys(v[0], path+"[]", into)
			return
		}
		into[path+"[]"] = true
	default:
		into[path] = true
	}
}

func hasKeys(t *testing.T, text string, want ...string) {
	t.Helper()
	var v any
	decoder := json.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&v); err != nil || decoder.More() {
		t.Fatalf("not one JSON value: %v\n%s", err, text)
	}
	have := map[string]bool{}
	keys(v, "", have)
	for _, k := range want {
		if !have[k] {
			t.Errorf("no %s in %s", k, text)
		}
	}
}

// TestStatus: what operators and programs read of a running gate.
func TestStatus(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.start()
	var seen, text string
	xmpptest.Converse(t, h.stage(map[string]func() error{"look": func() error {
		_, seen, _ = call("status", "-c", h.config, "--json")
		_, text, _ = call("status", "-c", h.config)
		return nil
	}}), proved+"do look\n")
	hasKeys(t, seen, "version", "pid", "config", "gate.started", "gate.draining", "gate.policy_revision", "gate.links[].id", "gate.links[].door", "gate.links[].kind",
		"gate.links[].pairs[]", "gate.links[].state", "gate.links[].channel", "gate.links[].proof", "gate.links[].tls", "gate.links[].peer", "gate.links[].since",
		"gate.failed[]", "gate.links[].stanzas", "gate.links[].queue", "gate.links[].queue_bytes", "certificates[].names[]", "certificates[].not_after", "certificates[].file", "certificates[].spki")
	if !regexp.MustCompile(`(?s)^sallyport devel, pid \d+, serving for .*\n\nDOOR .*\noutside +in +remote.example → corp.example +up +TLS 1.3 \S+ +pkix +127.0.0.1:\d+ +0 +0\n.*\ncorp.example +\d{4}-`).MatchString(text) {
		t.Errorf("status prints\n%s", text)
	}
}

// TestStatusText: links without a stream of their own, and routes that failed.
func TestStatusText(t *testing.T) {
	t.Parallel()
	in := proxy.LinkSnapshot{ID: "i1", Door: "outside", Kind: "in", Pairs: []string{"remote.example → corp.example"}, State: proxy.Up, Channel: "tls", Proof: "pkix", Peer: "192.0.2.1:40000"}
	out := proxy.LinkSnapshot{ID: "o2", Door: "outside", Kind: "out", Pairs: []string{"corp.example → remote.example"}, State: proxy.Up, Channel: "tls", Proof: "pkix", Peer: "192.0.2.1:40000", Over: "i1"}
	gone := proxy.LinkSnapshot{ID: "o3", Door: "outside", Kind: "out", Pairs: []string{"x.corp.example → remote.example"}, State: proxy.Up, Peer: "192.0.2.1:40000", Over: "i9"}
	st := status{Gate: proxy.Snapshot{Links: []proxy.LinkSnapshot{in, out, gone}, Failed: []proxy.FailedRoute{
		{Pair: "corp.example → gone.example", Step: proxy.StepDNS, Error: "no such\x1b[2J domain", Next: time.Now().Add(90 * time.Minute)},
		{Pair: "corp.example → old.example", Step: proxy.StepTLS, Error: "no TLS", Next: time.Now().Add(-time.Second)}}}}
	var text strings.Builder
	must(t, printStatus(&text, st))
	for _, want := range []string{
		`outside +out +corp.example → remote.example +up +tls +pkix +192.0.2.1:40000, on the stream of remote.example → corp.example +0 +0\n`,
		`192.0.2.1:40000, on the stream of link i9 `,
		`FAILED +STEP +NEXT TRY +BECAUSE\ncorp.example → gone.example +dns +in 1h[0-9ms]+ +no such[^\x1b]* domain\n`,
		`corp.example → old.example +tls +with the next stanza +no TLS\n`,
	} {
		if !regexp.MustCompile(want).MatchString(text.String()) {
			t.Errorf("not found: %s\n%s", want, text.String())
		}
	}
}

// TestMeasurements: every name that a running gate gives to Prometheus stands in the reference.
func TestMeasurements(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	must(t, err)
	h := newHouse(t)
	h.start()
	get := func(path string) string {
		resp, err := http.Get("http://" + h.doors["metrics"] + path)
		must(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		must(t, err)
		return string(text)
	}
	var text string
	xmpptest.Converse(t, h.stage(map[string]func() error{"look": func() error { text = get("/metrics"); return nil }}), proved+word+"do look\n")
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (sallyport_\w+) `).FindAllStringSubmatch(text, -1) {
		names[m[1]] = true
		if !bytes.Contains(page, []byte("| `"+m[1]+"` |")) {
			t.Errorf("%s is not in docs/reference/metrics.md", m[1])
		}
	}
	for _, name := range []string{"sallyport_links", "sallyport_stanzas_total", "sallyport_queue", "sallyport_policy_duration_seconds", "sallyport_audit_duration_seconds"} {
		if !names[name] {
			t.Errorf("no %s in\n%s", name, text)
		}
	}
	if got := get("/healthz"); got != "ok\n" {
		t.Errorf("/healthz says %q", got)
	}
}

// TestDemo plays once with the real gate, keeps the folder, and works on with what it left.
func TestDemo(t *testing.T) {
	t.Parallel()
	// Not t.TempDir: with the name of the test its paths are too long for a socket.
	dir, err := os.MkdirTemp("", "sallyport-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	kept := filepath.Join(dir, "kept")
	code, stdout, stderr := call("demo", "--once", "--json", "--keep", kept)
	if code != 0 || stderr != "" {
		t.Fatalf("exit %d\n%s%s", code, stdout, stderr)
	}
	hasKeys(t, stdout, "ok", "sent", "delivered", "refused", "bounced", "lost", "recorded", "plaintext_stanza_bytes_outside", "links[].door", "links[].proof", "config")
	var result struct {
		Lost    int
		Exposed int `json:"plaintext_stanza_bytes_outside"`
		Config  string
	}
	must(t, json.Unmarshal([]byte(stdout), &result))
	file := filepath.Join(kept, "sallyport.yaml")
	if result.Config != file || result.Lost != 0 || result.Exposed != 0 {
		t.Errorf("result: %+v", result)
	}
	text, err := os.ReadFile(file)
	must(t, err)
	for key, value := range settings(t, file, text) {
		if strings.HasPrefix(value, "/var/lib/") || strings.HasPrefix(value, "/run/") {
			t.Errorf("the demo leaves its folder: %s is %s", key, value)
		}
	}
	for _, line := range []string{"check", "policy check", "audit verify", "audit tail -n 3", "audit search --effect deny"} {
		if code, stdout, stderr := call(append(strings.Fields(line), "-c", file)...); code != 0 || stdout == "" || stderr != "" {
			t.Errorf("%s: exit %d, %q, %q", line, code, stdout, stderr)
		}
	}
	_, stdout, _ = call("audit", "search", "-c", file, "--json", "--kind", "stanza", "--limit", "1")
	hasKeys(t, stdout, "v", "seq", "time", "id", "kind", "dir", "from", "to", "decision.effect", "stanza.kind")
	_, stdout, _ = call("audit", "verify", "-c", file, "--json")
	hasKeys(t, stdout, "segments", "events", "first", "last", "begin", "end", "kinds.stanza", "unsettled", "torn", "faults[]", "found")
}

// settings are all texts of a configuration, by the names of their fields.
func settings(t *testing.T, file string, text []byte) map[string]string {
	t.Helper()
	c, err := config.Parse(file, text)
	must(t, err)
	found := map[string]string{}
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.String:
			found[path] = v.String()
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		}
	}
	walk(reflect.ValueOf(*c), "")
	return found
}

// A record that does not verify is a fault in JSON too.
func TestVerifyFindsDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "00000001.jsonl"), []byte("nonsense\n"), 0o600))
	for _, args := range [][]string{{"audit", "verify", "--dir", dir}, {"audit", "verify", "--dir", dir, "--json"}} {
		if code, _, stderr := call(args...); code != 1 || !strings.HasPrefix(stderr, "00000001.jsonl:1: ") {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
}

// The configuration is sallyport.yaml of the current folder unless told (DESIGN §4.1).
func TestDefaultConfiguration(t *testing.T) {
	t.Parallel()
	if code, _, stderr := call("check"); code != 1 || stderr != "sallyport.yaml: no such file or directory\n" {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
