package policy

import (
	"fmt"
	"strings"
	"testing"

	"sallyport/internal/jid"
)

// Each place where the data speaks of an address or a domain refuses what policy would never see there, with its line and the right form.
func TestMisspeltNames(t *testing.T) {
	t.Parallel()
	const address, domain = "CEO@corp.example", "Partner.example."
	for yaml, want := range map[string]string{
		"peers:\n  NAME: {}\n":                                           `data.peers["NAME"]`,
		"internal:\n  domains:\n    '*.NAME': true\n":                    `data.internal.domains["*.NAME"]`,
		"internal:\n  users: {ADDRESS: true}\n":                          `data.internal.users["ADDRESS"]`,
		"internal:\n  rooms: {ADDRESS: true}\n":                          `data.internal.rooms["ADDRESS"]`,
		"groups:\n  works-council:\n    ADDRESS: true\n":                 `data.groups["works-council"]["ADDRESS"]`,
		"gateways: {NAME: true}\n":                                       `data.gateways["NAME"]`,
		"surface: {allow: {archive: {NAME: true}}}\n":                    `data.surface.allow.archive["NAME"]`,
		"matrix:\n  NAME: {default: {in: true}}\n":                       `data.matrix["NAME"]`,
		"matrix:\n  corp.example:\n    NAME: {in: true}\n":               `data.matrix["corp.example"]["NAME"]`,
		"rights:\n  users:\n    ADDRESS: {default: both}\n":              `data.rights.users["ADDRESS"]`,
		"rights:\n  users:\n    a@corp.example:\n      NAME: both\n":     `data.rights.users["a@corp.example"]["NAME"]`,
		"groups: {g: {}}\nrights:\n  groups:\n    g: {NAME: both}\n":     `data.rights.groups.g["NAME"]`,
		grantOf("peers: [x.example, NAME]"):                              `data.grants.deal.peers[1]`,
		grantOf("peers: [x.example], users: [ADDRESS]"):                  `data.grants.deal.users[0]`,
		"mark:\n  in: x\n  except:\n    '*.NAME': true\n":                `data.mark.except["*.NAME"]`,
		"observe:\n  peers: {NAME: true}\n":                              `data.observe.peers["NAME"]`,
		"freeze: {peers: {NAME: true}}\n":                                `data.freeze.peers["NAME"]`,
		"hours: {from: '08:00', to: '18:00', peers: {'*.NAME': true}}\n": `data.hours.peers["*.NAME"]`,
		"urls:\n  hosts:\n    '*.NAME': true\n":                          `data.urls.hosts["*.NAME"]`,
	} {
		line, canonical := 1+strings.Count(yaml[:max(strings.Index(yaml, "NAME"), strings.Index(yaml, "ADDRESS"))], "\n"), "partner.example"
		if strings.Contains(yaml, "ADDRESS") {
			canonical = "ceo@corp.example"
		} else if strings.Contains(yaml, "*.NAME") {
			canonical = "*.partner.example"
		}
		spell := strings.NewReplacer("NAME", domain, "ADDRESS", address)
		faults := faultsOfLoad(t, map[string]string{"d.yaml": spell.Replace(yaml)}, nil)
		begins, ends := fmt.Sprintf("d.yaml:%d: %s: would never match: ", line, spell.Replace(want)), fmt.Sprintf(" is %q", canonical)
		if len(faults) != 1 || !strings.HasPrefix(faults[0], begins) || !strings.HasSuffix(faults[0], ends) {
			t.Errorf("%s: %q, want %s…%s", yaml, faults, begins, ends)
		}
		right := strings.NewReplacer("NAME", "partner.example", "ADDRESS", "ceo@corp.example").Replace(yaml)
		if faults := faultsOfLoad(t, map[string]string{"d.yaml": right}, nil); len(faults) > 0 {
			t.Errorf("%s: %q", right, faults)
		}
	}
}

// An address is no domain, however canonical it is.
func TestAddressForADomain(t *testing.T) {
	t.Parallel()
	faults := faultsOfLoad(t, map[string]string{"d.yaml": "peers:\n  ceo@partner.example: {}\n"}, nil)
	if want := `d.yaml:2: data.peers["ceo@partner.example"]: would never match: not a domain`; len(faults) != 1 || !strings.HasPrefix(faults[0], want) {
		t.Errorf("got %q, want %s", faults, want)
	}
}

func grantOf(whom string) string {
	return "grants:\n  deal:\n    {rules: [files], owner: o, ticket: t, reason: r, until: 2999-06-30, " + whom + "}\n"
}

func TestCanonicalNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		naming
		name, want string // empty: it is as it should be
	}{
		{anAddress, "ceo@corp.example", ""},
		{anAddress, "room.corp.example", ""},
		{anAddress, "rené@müller.example", ""},
		{anAddress, `d\27artagnan@corp.example`, ""},
		{anAddress, "ceo@corp.example/phone", `is "ceo@corp.example"`},
		{anAddress, "ceo@xn--mller-kva.example", `is "ceo@müller.example"`},
		{anAddress, "ceo@corp.example.", `is "ceo@corp.example"`},
		{anAddress, "d'artagnan@corp.example", `is "d\\27artagnan@corp.example"`},
		{anAddress, `D\2Fx@corp.example`, `is "d\\2fx@corp.example"`},
		{anAddress, "c eo@corp.example", `is "c\\20eo@corp.example"`},
		{anAddress, "a@b@corp.example", `is "a\\40b@corp.example"`},
		{anAddress, "@corp.example", "not a bare address"},
		{anAddress, "", "not a bare address"},
		{anAddress, "*.corp.example", "wildcards are not looked for here"},
		{domains, "*.corp.example", ""},
		{domains, "*.Corp.example", `is "*.corp.example"`},
		{domains, "*corp.example", "not a domain"},
		{domains, "a.*.example", "not a domain"},
		{domains, "*.", "not a domain"},
		{domains, "ceo@corp.example", "not a domain"},
		{domains, "192.0.2.1", ""},
		{domains, "default", ""}, // which could be one, in a closed network
		{aDomain, "*.corp.example", "wildcards"},
		{orDefault, "default", ""},
		{hosts, "my_host.example", ""},
		{hosts, "WWW.corp.example", `is "www.corp.example"`},
		{hosts, "https://corp.example", "no host"},
		{hosts, "[2001:db8::1]", ""},
		{hosts, "*.", "no host"},
	} {
		got := test.wrong(test.name)
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%s %q: %q, want %q", test.what, test.name, got, test.want)
		}
	}
}

// What is plain at a glance is canonical.
func FuzzPlainAddress(f *testing.F) {
	for _, s := range []string{"ceo@corp.example", "a.b-c@x-1.example", "1.2", "a@b..c", "-a.example", "a@a-.b", "a--b.c", strings.Repeat("a", 64) + ".b", "a@", "@b", "a.1", "0x1f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !plainAddress(s) {
			return
		}
		if j, err := jid.Parse(s); err != nil || j.Bare().String() != s {
			t.Errorf("%q: %v, %v", s, j, err)
		}
	})
}
