package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// oddRecord has two conversations between people with ordinary and with hostile addresses.
func oddRecord(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "audit")
	l := open(t, Config{Dir: dir})
	batch := stanzas(0, 3)
	batch[1].From, batch[1].To, batch[1].Dir = "bob@partner.example/x", "alice@corp.example/y", "in"
	batch[2].Level, batch[2].Content.Body = LevelContent, []byte("=cmd|' /C calc'!A0;=1+1;\"@x\",=2\r\nBcc: x@y.example\r\n\r\n.\r\n\u202e\t-3")
	for _, odd := range []string{"=1+1|a\\b=c\r\nX: y", "ev\u202eil\x1b[2J\"@corp.example", "žofie@müller.example", strings.Repeat("x", 900) + "@corp.example", "\xff@\x00"} {
		e := stanzaEvent(9)
		e.From, e.Stanza.ID, e.Decision.Rule, e.Decision.Reason = odd, []byte(odd), odd, odd
		batch = append(batch, e)
	}
	appendAll(t, l, batch)
	closeLog(t, l)
	return dir
}

func export(t *testing.T, x Export) (Manifest, string) {
	t.Helper()
	x.To, x.Program, x.Asked = filepath.Join(t.TempDir(), "out"), "1.0|x", "everything"
	m, err := x.Prepare(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(x.To); !gone(err) {
		t.Error("it is there before it is published")
	}
	if err := x.Publish(); err != nil {
		t.Fatal(err)
	}
	return m, x.To
}

// printable says that a file is lines of printable characters.
func printable(t *testing.T, path string) (lines []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		lines = append(lines, s.Text())
		for _, c := range s.Text() {
			if !unicode.IsPrint(c) || !utf8.ValidString(s.Text()) {
				t.Errorf("%s has %q", filepath.Base(path), c)
			}
		}
	}
	return lines
}

// TestExportForms: each form has all events, each on one line of printable characters, and the manifest says what there is.
func TestExportForms(t *testing.T) {
	t.Parallel()
	dir := oddRecord(t)
	for format, name := range exportNames {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			m, out := export(t, Export{Dirs: []string{dir}, Query: Query{Kind: "stanza"}, Format: format})
			if format != "eml" {
				checkProofs(t, dir, out, 8)
			}
			lines := printable(t, filepath.Join(out, name))
			want := 8
			if format == "csv" {
				want++
			}
			if m.Events != 8 || len(lines) != want {
				t.Errorf("%d events, %d lines", m.Events, len(lines))
			}
			check := map[string]func([]string){"csv": func(l []string) { checkCSV(t, l) }, "cef": func(l []string) { checkCEF(t, l) }, "ecs": func(l []string) { checkECS(t, l) }}[format]
			if check != nil {
				check(lines)
			}
			checkManifest(t, m, out)
		})
	}
}

// checkProofs holds the proofs of an export to be those of its events, whatever form these have.
func checkProofs(t *testing.T, dir, out string, want int) {
	keys, err := RecordKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	proofs := SplitProofs(readFile(t, filepath.Join(out, proofsName)))
	if len(proofs) != want {
		t.Errorf("%d proofs", len(proofs))
	}
	var lines [][]byte
	for _, b := range proofs {
		p, err := keys.OpenProof(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		lines = append(lines, p.Line)
	}
	if all := linesOf(t, dir); len(all) < want || !slices.EqualFunc(lines, all[:want], bytes.Equal) {
		t.Error("the proofs are of other lines")
	}
}

func checkCSV(t *testing.T, lines []string) {
	for _, comma := range []rune{',', ';', '\t'} { // whichever of them a spreadsheet takes for the end of a cell
		r := csv.NewReader(strings.NewReader(strings.Join(lines, "\n")))
		r.Comma, r.LazyQuotes, r.FieldsPerRecord = comma, true, -1
		rows, err := r.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			for _, c := range row {
				if c = strings.TrimLeft(c, ` "`); c != "" && strings.ContainsRune("=+-@", rune(c[0])) {
					t.Errorf("with %q between cells a formula: %s", comma, c)
				}
			}
		}
	}
	rows, err := csv.NewReader(strings.NewReader(strings.Join(lines, "\n"))).ReadAll()
	if err != nil || len(rows) != 9 || !strings.HasPrefix(rows[4][9], "'=1+1|a") {
		t.Errorf("%q, %v", rows, err)
	}
}

// cefLine has seven fields with escaped bars, and then pairs with escaped equals signs.
var cefLine = regexp.MustCompile(`^CEF:0(\|([^|\\]|\\[|\\])*){6}\|(\w+=([^=\\]|\\[=\\])*)+$`)

func checkCEF(t *testing.T, lines []string) {
	for _, l := range lines {
		if !cefLine.MatchString(l) {
			t.Errorf("no CEF: %s", l)
		}
	}
	if !strings.Contains(lines[0], "|1.0\\|x|100|stanza|1|rt=") || !strings.Contains(lines[0], " suser=alice@corp.example/desk ") {
		t.Error(lines[0])
	}
	if !strings.Contains(lines[3], `cs1=\=1+1|a\\\\b\=c\\r\\nX: y `) {
		t.Error(lines[3])
	}
}

func checkECS(t *testing.T, lines []string) {
	var e struct {
		Timestamp string `json:"@timestamp"`
		Event     struct{ ID, Action, Outcome string }
		Source    struct {
			Address, Domain string
			User            struct{ Name string }
		}
		Rule struct{ Name string }
	}
	if err := json.Unmarshal([]byte(lines[0]), &e); err != nil || e.Event.Action != "stanza" || e.Event.Outcome != "success" || e.Source.User.Name != "alice" || e.Source.Domain != "corp.example" || len(e.Timestamp) != 30 {
		t.Errorf("%+v, %v", e, err)
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Errorf("no JSON: %s", l)
		}
	}
}

func checkManifest(t *testing.T, m Manifest, out string) {
	b, err := os.ReadFile(filepath.Join(out, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(b); m.SHA256 != hex.EncodeToString(sum[:]) {
		t.Error("the manifest's sum is another")
	}
	var read Manifest
	if err := json.Unmarshal(b, &read); err != nil || read.Events != 8 || read.Query != "everything" || len(read.Records) != 1 || !strings.HasPrefix(read.Records[0].Checkpoint, "sallyport") && read.Records[0].Checkpoint == "" || len(read.Records[0].Segments) != 1 {
		t.Errorf("%+v, %v", read, err)
	}
	entries, _ := os.ReadDir(out)
	if len(entries) != len(read.Files)+1 {
		t.Errorf("%d files, the manifest has %d", len(entries), len(read.Files))
	}
	for _, f := range read.Files {
		b, err := os.ReadFile(filepath.Join(out, f.Name))
		if sum := sha256.Sum256(b); err != nil || f.SHA256 != hex.EncodeToString(sum[:]) || f.Bytes != int64(len(b)) {
			t.Errorf("%s is not as the manifest says, %v", f.Name, err)
		}
	}
}

// TestLetters: a conversation is one letter that others' parsers read, with the lines and a proof of each.
func TestLetters(t *testing.T) {
	t.Parallel()
	dir := oddRecord(t)
	m, out := export(t, Export{Dirs: []string{dir}, Format: "eml"})
	letters, _ := filepath.Glob(filepath.Join(out, "*.eml"))
	if len(letters) != 6 || m.Unproved != 0 {
		t.Fatalf("%d letters, %d unproved", len(letters), m.Unproved)
	}
	keys, err := RecordKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range letters {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := mail.ReadMessage(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		from, fromErr := msg.Header.AddressList("From")
		to, toErr := msg.Header.AddressList("To")
		_, dateErr := msg.Header.Date()
		if fromErr != nil || toErr != nil || dateErr != nil || len(from) != 1 || len(to) != 1 || len(msg.Header) != 7 {
			t.Errorf("%v: %v, %v, %v", msg.Header, fromErr, toErr, dateErr)
		}
		for line := range bytes.Lines(b) {
			if len(line) > 998 || !bytes.HasSuffix(line, []byte("\r\n")) && !bytes.Contains(line, []byte("{")) {
				t.Errorf("line %.80q", line)
			}
		}
		if i == 0 && (from[0].Address != "alice@corp.example" || to[0].Address != "bob@partner.example") {
			t.Errorf("%v to %v", from, to)
		}
		readParts(t, msg, keys, []int{3, 1, 1, 1, 1, 1}[i])
	}
	python := program(t, "python3")
	script := `
import email, email.policy, sys
for path in sys.argv[1:]:
    m = email.message_from_binary_file(open(path, "rb"), policy=email.policy.default)
    assert not m.defects and len(m["From"].addresses) == 1 and m["Date"].datetime, (path, m.defects)
    parts = list(m.iter_parts())
    assert all(not p.defects for p in parts) and parts[1].get_filename() == "events.jsonl", path
    print(len(parts))
`
	got, err := exec.CommandContext(t.Context(), python, append([]string{"-c", script}, letters...)...).CombinedOutput()
	if err != nil || strings.Join(strings.Fields(string(got)), " ") != "5 3 3 3 3 3" {
		t.Errorf("python: %s, %v", got, err)
	}
}

func readParts(t *testing.T, msg *mail.Message, keys Keys, events int) {
	t.Helper()
	_, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(msg.Body, params["boundary"])
	n, proofs := 0, 0
	for ; ; n++ {
		p, err := r.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, p))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasSuffix(p.FileName(), ".tlog-proof"):
			if _, err := keys.OpenProof(b); err != nil {
				t.Errorf("%s: %v", p.FileName(), err)
			}
			proofs++
		case p.FileName() == "events.jsonl":
			if got := bytes.Count(b, []byte("\n")); got != events {
				t.Errorf("%d events, want %d", got, events)
			}
		default:
			said := bytes.Count(b, []byte("\r\n    ")) // lines of bodies
			if bytes.Count(b, []byte("\r\n")) != events+said || bytes.ContainsAny(b, "\x1b\x00\t\u202e") {
				t.Errorf("%q", b)
			}
		}
	}
	if n != events+2 || proofs != events {
		t.Errorf("%d parts, %d proofs", n, proofs)
	}
}

// TestExportWritesOverNothing: neither what is there, nor what somebody else is at; and a failure leaves nothing.
func TestExportWritesOverNothing(t *testing.T) {
	t.Parallel()
	dir, at := oddRecord(t), t.TempDir()
	x := Export{Dirs: []string{dir}, Format: "jsonl", To: at}
	if _, err := x.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "is there already") {
		t.Error(err)
	}
	x.To = filepath.Join(at, "x")
	if _, err := x.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(x.partial()); err != nil || st.Mode().Perm() != 0o700 {
		t.Error(st, err)
	}
	if _, err := x.Prepare(t.Context()); err == nil {
		t.Error("two exports to one place")
	}
	if err := os.Mkdir(x.To, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := x.Publish(); err == nil {
		t.Error("published over a directory")
	}
	if err := x.Discard(); err != nil {
		t.Fatal(err)
	}
	x.Dirs, x.To = []string{dir, filepath.Join(at, "none")}, filepath.Join(at, "y")
	if _, err := x.Prepare(t.Context()); err == nil {
		t.Error("exported from nothing")
	}
	if _, err := os.Stat(x.partial()); !gone(err) {
		t.Error("something is left")
	}
	if err := (Export{Format: "pst", To: "x"}).Check(); err == nil {
		t.Error("pst is a format")
	}
}
