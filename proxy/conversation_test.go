package proxy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/xmpptest"
	"sallyport/policy"
	"sallyport/proxy"
)

// TestConversations plays every script of testdata/conversations against a gate on loopback. Their names are those of PROTOCOL 10
// (W1–W14) and 11.6 (the failure matrix). A line `data {…}` is the policy's data, `inner optional` the backend's TLS, `bidi` lets
// streams outside carry both ways.
func TestConversations(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/conversations/[A-Z]*.txt")
	must(t, err)
	if len(files) < 10 {
		t.Fatalf("only %d conversations found", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			script, o := readScript(t, file)
			xmpptest.Converse(t, newStage(t, o).Stage, script)
		})
	}
}

// readScript reads a script, its options, and what it includes.
func readScript(t *testing.T, file string) (string, options) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	var o options
	var out []string
	for line := range strings.SplitSeq(string(b), "\n") {
		switch {
		case strings.HasPrefix(line, "data "):
			o.data = policyData(t, line[5:])
			line = ""
		case strings.HasPrefix(line, "inner "):
			o.innerTLS = map[string]proxy.InnerTLS{"optional": proxy.TLSOptional, "required": proxy.TLSRequired, "certificate": proxy.TLSCertificate}[line[6:]]
			line = ""
		case line == "bidi":
			o.bidi = true
			line = ""
		case strings.HasPrefix(line, "include "):
			included, _ := readScript(t, filepath.Join(filepath.Dir(file), line[8:]+".txt"))
			line = included
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n"), o
}

func policyData(t *testing.T, s string) policy.Data {
	t.Helper()
	data := policy.Data{}
	must(t, json.Unmarshal([]byte(s), &data))
	return data
}
