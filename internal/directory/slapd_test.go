package directory

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/internal/peer"
)

const (
	suffix   = "dc=corp,dc=example"
	admin    = "cn=admin," + suffix
	service  = "cn=gate," + suffix
	password = "open, sesame"
)

// slapd is OpenLDAP's server with a directory of a company. It gives no more than ten entries to who does not ask for pages.
type slapd struct {
	t          *testing.T
	dir        string
	plain, tls string // host:port
	roots      string
	secret     string
	people     int
}

const slapdConf = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
pidfile DIR/pid
TLSCACertificateFile DIR/ca.pem
TLSCertificateFile DIR/cert.pem
TLSCertificateKeyFile DIR/key.pem
security simple_bind=128
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=gate,dc=corp,dc=example" read by * none
database mdb
suffix "dc=corp,dc=example"
rootdn "cn=admin,dc=corp,dc=example"
rootpw "open, sesame"
directory DIR/data
limits dn.exact="cn=gate,dc=corp,dc=example" size.soft=10 size.hard=10 size.prtotal=unlimited
overlay memberof
`

// startSlapd fills a directory with so many people and starts the server.
func startSlapd(t *testing.T, people int) *slapd {
	t.Helper()
	if testing.Short() {
		t.Skip("a real server")
	}
	if _, err := os.Stat("/usr/sbin/slapd"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("slapd is not installed")
		}
		t.Skip("slapd is not installed: make peers")
	}
	s := &slapd{t: t, dir: t.TempDir(), people: people}
	ca, err := peer.NewAuthority("Directory Authority")
	must(t, err)
	id, err := ca.Issue("localhost")
	must(t, err)
	ports, err := peer.Reserve(2)
	must(t, err)
	s.plain, s.tls = ports[0], ports[1]
	s.write("ca.pem", string(ca.PEM))
	s.write("cert.pem", string(id.Cert))
	s.write("key.pem", string(id.Key))
	s.write("slapd.conf", strings.ReplaceAll(slapdConf, "DIR", s.dir))
	s.roots, s.secret = filepath.Join(s.dir, "ca.pem"), s.write("secret", password+"\n")
	must(t, os.Mkdir(filepath.Join(s.dir, "data"), 0o700))
	// Under another path it is not held to the places where Debian's own may read (AppArmor).
	binary, err := os.ReadFile("/usr/sbin/slapd")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(s.dir, "slapd"), binary, 0o700))
	s.run("-T", "add", "-q", "-f", filepath.Join(s.dir, "slapd.conf"), "-l", s.write("data.ldif", s.ldif()))
	s.serve()
	s.add()
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *slapd) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func (s *slapd) run(args ...string) {
	s.t.Helper()
	if out, err := exec.Command(filepath.Join(s.dir, "slapd"), args...).CombinedOutput(); err != nil {
		s.t.Fatalf("slapd %v: %v\n%s", args, err, out)
	}
}

func (s *slapd) ldif() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dn: %s\nobjectClass: dcObject\nobjectClass: organization\ndc: corp\no: Corp\n\n", suffix)
	fmt.Fprintf(&b, "dn: %s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: gate\nuserPassword: %s\n\n", service, password)
	for _, ou := range []string{"people", "groups"} {
		fmt.Fprintf(&b, "dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n\n", ou, suffix, ou)
	}
	for i := range s.people {
		fmt.Fprintf(&b, "dn: uid=u%d,ou=people,%s\nobjectClass: inetOrgPerson\nuid: u%d\ncn: User %d\nsn: %d\nmail: U%d@Corp.Example\n\n", i, suffix, i, i, i, i)
	}
	// Names that would be something else in a filter or in a distinguished name that is put together by hand.
	fmt.Fprintf(&b, "dn: cn=Smith\\, J. (*)\\5C,ou=people,%s\nobjectClass: inetOrgPerson\ncn: Smith, J. (*)\\\nsn: Smith\nmail: smith@corp.example\nmail: js@corp.example\n\n", suffix)
	fmt.Fprintf(&b, "dn: uid=robot,ou=people,%s\nobjectClass: inetOrgPerson\nuid: robot\ncn: robot\nsn: robot\nmail: not an address\n\n", suffix)
	return b.String()
}

// serve runs the server until the test ends.
func (s *slapd) serve() (stop func()) {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.dir, "slapd"), "-d", "0", "-f", filepath.Join(s.dir, "slapd.conf"), "-h", "ldap://"+s.plain+" ldaps://"+s.tls)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	must(s.t, cmd.Start())
	done := make(chan struct{})
	go func() { defer close(done); cmd.Wait() }()
	stop = func() { cmd.Process.Kill(); <-done }
	s.t.Cleanup(stop)
	for range 1000 {
		if c, err := net.Dial("tcp", s.plain); err == nil {
			c.Close()
			return stop
		}
		select {
		case <-done:
			s.t.Fatalf("slapd ended:\n%s", &said)
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.t.Fatal("slapd does not answer")
	return nil
}

// add makes the groups through the server, so that it keeps memberOf itself.
func (s *slapd) add() {
	s.t.Helper()
	c, err := ldap.DialURL("ldap://" + s.plain)
	must(s.t, err)
	defer c.Close()
	d, err := New(s.config("ldap"))
	must(s.t, err)
	must(s.t, c.StartTLS(d.Source.(*directory).tls))
	must(s.t, c.Bind(admin, password))
	group := func(name string, members ...string) {
		r := ldap.NewAddRequest("cn="+ldap.EscapeDN(name)+",ou=groups,"+suffix, nil)
		r.Attribute("objectClass", []string{"groupOfNames"})
		r.Attribute("member", members)
		must(s.t, c.Add(r))
	}
	user := func(i int) string { return fmt.Sprintf("uid=u%d,ou=people,%s", i, suffix) }
	everyone := []string{`CN=smith\2C J. \28*\29\5c,OU=People,` + suffix} // in another spelling than its entry's
	for i := range s.people {
		everyone = append(everyone, user(i))
	}
	group("everyone", everyone...)
	group("board (*)", user(1), "uid=robot,ou=people,"+suffix, "uid=gone,ou=people,"+suffix)
	for i, name := range []string{"a", "b", "c"} {
		group(name, user(2+i))
	}
	for outer, inner := range map[string]string{"a": "b", "b": "c", "c": "a"} {
		r := ldap.NewModifyRequest("cn="+outer+",ou=groups,"+suffix, nil)
		r.Add("member", []string{"cn=" + inner + ",ou=groups," + suffix})
		must(s.t, c.Modify(r))
	}
}

func (s *slapd) config(scheme string) Config {
	_, port, _ := net.SplitHostPort(map[string]string{"ldap": s.plain, "ldaps": s.tls}[scheme])
	return Config{URL: scheme + "://localhost:" + port, Roots: s.roots, BindDN: service, SecretFile: s.secret, Base: "ou=people," + suffix, GroupBase: "ou=groups," + suffix,
		File: filepath.Join(s.t.TempDir(), "groups.json")}
}

// TestSlapd: people and groups of a real server, page by page, over both kinds of TLS and from both sides of a membership; nested groups, and
// groups that hold each other.
func TestSlapd(t *testing.T) {
	t.Parallel()
	s := startSlapd(t, 1200)
	for name, c := range map[string]Config{"StartTLS": s.config("ldap"), "TLS": s.config("ldaps"), "memberOf": s.config("ldaps")} {
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
	c := s.config("ldaps")
	c.Filter, c.Address, c.Domain = "(uid=*)", "uid", "im.corp.example"
	if _, ok := fetch(t, c)["board (*)"]["u1@im.corp.example"]; !ok {
		t.Error("a domain is not put behind the local part")
	}
	for name, test := range map[string]struct {
		change func(*Config)
		fault  string
	}{
		"a wrong password":         {func(c *Config) { c.SecretFile = s.write("wrong", "closed") }, "does not take bind_dn with what stands in secret_file"},
		"an empty password":        {func(c *Config) { c.SecretFile = s.write("empty", "\n") }, "is empty"},
		"no password":              {func(c *Config) { c.SecretFile = "/nonexistent" }, "secret_file: "},
		"nobody in particular":     {func(c *Config) { c.BindDN, c.SecretFile = "", "" }, "asking for people"},
		"a base that is not there": {func(c *Config) { c.Base = "ou=nowhere," + suffix }, "asking for people"},
		"nobody to be seen":        {func(c *Config) { c.Filter = "(uid=nobody)" }, "shows no people"},
		"no group to be seen":      {func(c *Config) { c.GroupFilter = "(cn=nobody)" }, "shows no groups"},
		"more than entries":        {func(c *Config) { c.Entries = 700 }, "more than directory.entries, 700"},
		"more than bytes":          {func(c *Config) { c.Bytes = 20000 }, "more than directory.bytes"},
		"another authority":        {func(c *Config) { c.Roots = "" }, "certificate"},
		"another name":             {func(c *Config) { c.URL = strings.Replace(c.URL, "localhost", "127.0.0.1", 1) }, "certificate"},
		"no TLS where it is asked": {func(c *Config) { c.URL = s.config("ldap").URL; c.URL = strings.Replace(c.URL, "ldap:", "ldaps:", 1) }, "asking "},
		"nobody there":             {func(c *Config) { c.URL = "ldaps://localhost:1" }, "connection refused"},
	} {
		for _, scheme := range []string{"ldap", "ldaps"} {
			c := s.config(scheme)
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
	s := startSlapd(t, 20)
	c := s.config("ldaps")
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
