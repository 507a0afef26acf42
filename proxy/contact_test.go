package proxy_test

import (
	"testing"

	"sallyport/internal/xmpptest"
	"sallyport/policy"
)

// Strangers may not write first: who was written to may, others get nothing through, and what only goes along with a session is no word.
func TestInitiative(t *testing.T) {
	t.Parallel()
	data := policy.Data{"federation": "open", "initiative": map[string]any{}}
	xmpptest.Converse(t, newStage(t, options{data: data}).Stage, include(t, "_backend_speaks")+`
l sends <presence from='romeo@corp.example/pc' to='nurse@remote.example'/>
l sends `+message("m1", 0)+`
`+include(t, "_remote_takes_external")+`
r receives <presence from='romeo@corp.example/pc' to='nurse@remote.example'/>
r receives `+message("m1", 0)+`
`+include(t, "_remote_proved_again")+`
s sends <message from='nurse@remote.example/x' to='romeo@corp.example' id='n1' type='headline'><body>not asked</body></message>
s sends <message from='juliet@remote.example/x' to='romeo@corp.example' id='i1' type='chat'><body>asked</body></message>
`+include(t, "_backend_takes")+`
b receives <message from='juliet@remote.example/x' to='romeo@corp.example' id='i1' type='chat'><body>asked</body></message>
record has "id":"n1" "effect":"deny" "rule":"initiative"
`)
}
