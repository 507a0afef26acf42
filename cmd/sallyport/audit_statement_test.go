package main

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
)

// TestStatementAgreesWithCounters: what a gate counted, what its record has and what the statement says are the same, to the stanza: those
// with an event, those that policy records at level none, and those that were refused (AUDIT "The proof").
func TestStatementAgreesWithCounters(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.write("policy/house.rego", `package sallyport.stanza

deny contains {"rule": "no-chat"} if input.stanza.type == "chat"

audit contains {"rule": "quiet", "level": "none"} if input.stanza.type == "headline"
`)
	h.edit("admin:", "limits: {drain: 10ms}\nadmin:")
	gate := h.start()
	conversation := proved + word
	for i, kind := range []string{"normal", "chat", "headline", "headline", "normal", "chat", "headline", "groupchat"} {
		conversation += fmt.Sprintf("r sends <message from='juliet@remote.example' to='romeo@corp.example' id='n%d' type='%s'><body>hi</body></message>\n", i, kind)
	}
	counted := map[string]string{}
	xmpptest.Converse(t, h.stage(map[string]func() error{"look": func() error {
		for late := time.Now().Add(patience); time.Now().Before(late); { // the gate reads what it was sent in its own time
			resp, err := http.Get("http://" + h.doors["metrics"] + "/metrics")
			if err != nil {
				return err
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				return err
			}
			for _, m := range regexp.MustCompile(`(?m)^sallyport_stanzas_total\{direction="in",effect="(\w+)".*\} (\d+)$`).FindAllStringSubmatch(string(text), -1) {
				counted[m[1]] = m[2]
			}
			if counted["allow"] == "7" && counted["deny"] == "2" {
				return nil
			}
		}
		return fmt.Errorf("the gate counted %v", counted)
	}}), conversation+"do look\n")
	gate.signal(syscall.SIGTERM)
	gate.end()
	_, text, stderr := call("audit", "statement", "-c", h.config, "--day", time.Now().UTC().Format(time.DateOnly), "--peer", "remote.example")
	if want := "in 7 crossed, 4 with an event, 3 counted only, 2 refused\n"; !strings.Contains(text, want) || !strings.Contains(text, "7 crossed, 7 recorded, 0 gaps\n") {
		t.Errorf("counted %v, the statement says\n%s%s", counted, text, stderr)
	}
}
