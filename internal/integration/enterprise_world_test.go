package integration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/xmpptest/lab"
)

// enterprise is the world of examples/policies/enterprise, which is its policy as it stands there:
//
//	inside    corp.example              Prosody. sam is in sales, rhea in research, carol is the one who is not to be reached
//	          conference.corp.example   its rooms; board is for the house alone
//	          irc.corp.example          biboumi, the gateway to an IRC network that is for the house alone
//	outside   alpha.example             Prosody: calls without pictures, whoever calls
//	          beta.example              ejabberd: nothing that is not encrypted from end to end
//	          gamma.example             Prosody: sales alone, and nothing that is encrypted from end to end
//	          old.example               in the manner of the old Google Talk: plaintext until a date, by a grant
//	          rival.example             in no policy
type enterprise struct {
	*lab.Lab
	backend, alpha, beta, gamma, irc *lab.Server
	old, rival                       *lab.Pretend
	gate                             *lab.Gate
	wire                             *lab.Capture // the gate's outer leg
	hosts                            map[string]*lab.Host
	people                           map[string]lab.User // by localpart
	denied                           []string            // marks of what was refused
	played                           map[string]scene    // by mark, which is the stanza's id
	crossed                          []string            // ids of messages with a text, as the wire to the old partner had them
}

const gateway = "irc.corp.example"

// policyDir is the worked example of the documentation.
func policyDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../examples/policies/enterprise")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func newEnterprise(t *testing.T) *enterprise {
	t.Helper()
	w := &enterprise{Lab: lab.New(t), hosts: map[string]*lab.Host{}, people: map[string]lab.User{}, played: map[string]scene{}}
	w.hosts["backend"], w.hosts["gate"] = w.Host("backend", lab.Inside), w.Host("gate", lab.Inside, lab.Outside)
	zones := []map[string][]string{lab.Zone(local, outer(w.hosts["gate"], 5269), "conference", "irc")}
	for _, name := range []string{"alpha", "beta", "gamma", "old", "rival"} {
		w.hosts[name] = w.Host(name, lab.Outside)
		zones = append(zones, lab.Zone(name+".example", outer(w.hosts[name], 5269), "conference"))
	}
	dns := w.Bind(w.Host("dns", lab.Outside), zones...)
	w.backend = w.Backend(lab.Prosody, w.hosts["backend"], w.hosts["gate"].Addr(lab.Inside), lab.Config{Domain: local, Users: []string{"sam", "rhea", "carol"}, Gateway: gateway})
	w.irc = w.Biboumi(w.backend, gateway)
	w.alpha = w.Prosody(w.hosts["alpha"], lab.Config{Domain: "alpha.example", Mode: lab.Certified, Users: []string{"alan"}})
	w.beta = w.Ejabberd(w.hosts["beta"], lab.Config{Domain: "beta.example", Mode: lab.RequiredTLS, Users: []string{"bea"}})
	w.gamma = w.Prosody(w.hosts["gamma"], lab.Config{Domain: "gamma.example", Mode: lab.Certified, Users: []string{"greg"}})
	w.old = w.GoogleTalkLike(w.hosts["old"], "old.example")
	w.rival = w.Pretend(w.hosts["rival"], lab.PretendConfig{Domain: "rival.example"})
	w.wire = w.Capture(w.hosts["gate"], lab.Outside)
	w.gate = w.Gate(w.hosts["gate"], w.config(t, dns))
	w.Ready()
	for user, server := range map[string]*lab.Server{"sam": w.backend, "rhea": w.backend, "carol": w.backend, "alan": w.alpha, "bea": w.beta, "greg": w.gamma} {
		w.people[user] = w.Client(t, server, user)
	}
	w.people["olga"], w.people["rik"] = w.old.Person("olga@old.example"), w.rival.Person("rik@rival.example")
	return w
}

func (w *enterprise) config(t *testing.T, dns *lab.Bind) string {
	t.Helper()
	gate := w.hosts["gate"]
	cert := w.CA().Issue(t, lab.Sound, local, rooms, gateway)
	lines := lab.GateLines(t, lab.Prosody, w.hosts["backend"], gate.Addr(lab.Inside))
	lines = strings.Replace(lines, "conference.corp.example]", "conference.corp.example, irc.corp.example]", 1)
	kept := strings.Replace(keeping(w.Lab, gate), "policy: {timeout: 5s}", "policy: {dir: "+policyDir(t)+", timeout: 5s}", 1)
	return lines + strings.NewReplacer("OUTSIDE", outer(gate, 5269).String(), "RESOLVER", dns.Addr.String(), "ROOT", w.CA().Root, "DIR", w.GateDir(gate),
		"CERT", cert.Chain, "KEY", cert.Key).Replace(`
outside: {listen: ["OUTSIDE"], resolver: ["RESOLVER"], allow_private: true, posh: false}
certs:
  store: DIR/certs
  files: [{cert: CERT, key: KEY}]
  roots: [ROOT]
  system_roots: false
`) + kept
}
