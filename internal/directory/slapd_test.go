package directory

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sallyport/internal/xmpptest/slapd"
)

const suffix = slapd.Suffix

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func configOf(t *testing.T, s *slapd.Server, scheme string) Config {
	t.Helper()
	_, port, _ := net.SplitHostPort(map[string]string{"ldap": s.Plain, "ldaps": s.TLS}[scheme])
	return Config{URL: scheme + "://localhost:" + port, Roots: s.Roots, BindDN: slapd.Service, SecretFile: s.Secret, Base: "ou=people," + suffix, GroupBase: "ou=groups," + suffix,
		File: filepath.Join(t.TempDir(), "groups.json")}
}

// TestSlapd: people and groups of a real server, page by page, over both kinds of TLS and from both sides of a membership; nested groups, and
// groups that hold each other.
func TestSlapd(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, 1200)
	for name, c := range map[string]Config{"StartTLS": configOf(t, s, "ldap"), "TLS": configOf(t, s, "ldaps"), "memberOf": configOf(t, s, "ldaps")} {
		if name == "memberOf" {
			c.Member, c.MemberOf = []string{}, "memberOf"
		}
		groups := fetch(t, c)
		for group, want := range map[string]int{"everyone": 1200 + 2, "board (*)": 1, "a": 3, "b": 3, "c": 3} {
			if got := len(groups[group]); got != want {
				t.Errorf("%s: %s has %d members, want %d", name, group, got, want)
			}
		}
		for group, bare := range map[string]string{"everyone": "js@corp.example", "board (*)": "u1@corp.example", "a": "u4@corp.example", "c": "u3@corp.example"} {
			if _, ok := groups[group][bare]; !ok {
				t.Errorf("%s: %s is not in %s", name, bare, group)
			}
		}
	}
	c := configOf(t, s, "ldaps")
	c.Filter, c.Address, c.Domain = "(uid=*)", "uid", "im.corp.example"
	if _, ok := fetch(t, c)["board (*)"]["u1@im.corp.example"]; !ok {
		t.Error("a domain is not put behind the local part")
	}
	for name, test := range map[string]struct {
		change func(*Config)
		fault  string
	}{
		"a wrong password":         {func(c *Config) { c.SecretFile = s.Write("wrong", "closed") }, "does not take bind_dn with what stands in secret_file"},
		"an empty password":        {func(c *Config) { c.SecretFile = s.Write("empty", "\n") }, "is empty"},
		"no password":              {func(c *Config) { c.SecretFile = "/nonexistent" }, "secret_file: "},
		"nobody in particular":     {func(c *Config) { c.BindDN, c.SecretFile = "", "" }, "asking for people"},
		"a base that is not there": {func(c *Config) { c.Base = "ou=nowhere," + suffix }, "asking for people"},
		"nobody to be seen":        {func(c *Config) { c.Filter = "(uid=nobody)" }, "shows no people"},
		"no group to be seen":      {func(c *Config) { c.GroupFilter = "(cn=nobody)" }, "shows no groups"},
		"more than entries":        {func(c *Config) { c.Entries = 700 }, "more than directory.entries, 700"},
		"more than bytes":          {func(c *Config) { c.Bytes = 20000 }, "more than directory.bytes"},
		"another authority":        {func(c *Config) { c.Roots = "" }, "certificate"},
		"another name":             {func(c *Config) { c.URL = strings.Replace(c.URL, "localhost", "127.0.0.1", 1) }, "certificate"},
		"no TLS where it is asked": {func(c *Config) {
			c.URL = configOf(t, s, "ldap").URL
			c.URL = strings.Replace(c.URL, "ldap:", "ldaps:", 1)
		}, "asking "},
		"nobody there": {func(c *Config) { c.URL = "ldaps://localhost:1" }, "connection refused"},
	} {
		for _, scheme := range []string{"ldap", "ldaps"} {
			c := configOf(t, s, scheme)
			if test.change(&c); scheme == "ldap" && strings.HasPrefix(name, "no TLS") {
				continue
			}
			if err := refused(t, c); err == nil || !strings.Contains(err.Error(), test.fault) {
				t.Errorf("%s, %s: %v, want %q", name, scheme, err, test.fault)
			}
		}
	}
}

// TestSlapdDown: a gate starts with what it was told last, and goes on with it; without, it does not start.
func TestSlapdDown(t *testing.T) {
	t.Parallel()
	s := slapd.Start(t, 20)
	c := configOf(t, s, "ldaps")
	f := feed(t, c)
	first, err := f.First(t.Context())
	must(t, err)
	must(t, os.WriteFile(c.File, first.Files[0].Text, 0o600))
	c.URL = "ldaps://localhost:1"
	again, err := feed(t, c).First(t.Context())
	if err != nil || !bytes.Equal(again.Files[0].Text, first.Files[0].Text) {
		t.Errorf("with the server down: %v", err)
	}
	must(t, os.Remove(c.File))
	if _, err := feed(t, c).First(t.Context()); err == nil {
		t.Error("it starts with nothing")
	}
}
