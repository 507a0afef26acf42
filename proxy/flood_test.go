package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/xmpptest"
	"sallyport/proxy"
)

// [B20]: a stranger that asks about keys which are not ours gets each answer, and leaves no more than a few events.
func TestFloodOfQuestionsLeavesFewEvents(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{limits: func(l *proxy.Limits) { l.FailuresPerAddress = 2 }})
	var script strings.Builder
	script.WriteString(include(t, "_remote_proved"))
	for i := range 20 {
		fmt.Fprintf(&script, "r sends <db:verify from='remote.example' to='corp.example' id='x%d'>nobody's key</db:verify>\nr receives <db:verify from='corp.example' to='remote.example' id='x%[1]d' type='invalid'/>\n", i)
	}
	xmpptest.Converse(t, s.Stage, script.String()+`record has "kind":"dialback.invalid"`+"\n")
	if n := strings.Count(s.log.String(), "a key that we did not issue"); n != 2 {
		t.Errorf("%d lines for 20 keys, want 2", n)
	}
}
