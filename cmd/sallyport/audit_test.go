package main

import (
	"context"
	"strings"
	"testing"

	"sallyport/audit"
)

// TestSearchByAnySpelling: names are found however they are typed.
func TestSearchByAnySpelling(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := audit.Open(audit.Config{Dir: dir})
	must(t, err)
	e := audit.Event{Kind: audit.Stanza, Dir: "out", Local: "corp.example", Remote: "chat.müller.example", From: "žofie@corp.example/Desk", To: "bob@chat.müller.example"}
	must(t, l.Append(context.Background(), []audit.Event{e}))
	must(t, l.Close())
	for args, want := range map[string]int{
		"--domain CORP.Example.":                       1,
		"--domain xn--mller-kva.example":               0,
		"--domain *.xn--mller-kva.example":             1,
		"--domain chat.MU\u0308LLER.example":           1,
		"--user Z\u030cofie@Corp.Example":              1,
		"--from žofie@corp.example./Desk":              1,
		"--from žofie@corp.example/desk":               0,
		"--to Bob@chat.xn--mller-kva.example":          1,
		"--to nobody@chat.xn--mller-kva.example":       0,
		"--user @":                                     0,
		"--domain *.example --user žofie@corp.example": 1,
	} {
		code, stdout, stderr := call(append([]string{"audit", "search", "--dir", dir}, strings.Fields(args)...)...)
		if got := strings.Count(stdout, "\n"); code != 0 || got != want {
			t.Errorf("%s: exit %d, %d found, want %d\n%s%s", args, code, got, want, stdout, stderr)
		}
	}
}
