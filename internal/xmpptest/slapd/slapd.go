// Package slapd runs OpenLDAP's server for tests, with the directory of a company: people with addresses, and groups of every shape that
// directories have.
package slapd

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
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

// Suffix is where the directory begins. Service is who may read it, with Password.
const (
	Suffix   = "dc=corp,dc=example"
	Service  = "cn=gate," + Suffix
	Password = "open, sesame"

	admin = "cn=admin," + Suffix
)

// Server is OpenLDAP's server with a directory of a company. It gives no more than ten entries to who does not ask for pages.
type Server struct {
	Plain, TLS string // host:port, by StartTLS and by TLS
	Roots      string // PEM file with the authority of its certificate, which is for localhost
	Secret     string // file with Service's password

	t      *testing.T
	dir    string
	people int
	pool   *x509.CertPool
	stop   func()
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

// Start fills a directory with so many people, u0 and on, and starts the server. Where there is none, the test is skipped.
func Start(t *testing.T, people int) *Server {
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
	s := &Server{t: t, dir: t.TempDir(), people: people}
	ca, err := peer.NewAuthority("Directory Authority")
	must(t, err)
	id, err := ca.Issue("localhost")
	must(t, err)
	ports, err := peer.Reserve(2)
	must(t, err)
	s.Plain, s.TLS, s.pool = ports[0], ports[1], ca.Pool()
	s.Write("ca.pem", string(ca.PEM))
	s.Write("cert.pem", string(id.Cert))
	s.Write("key.pem", string(id.Key))
	s.Write("slapd.conf", strings.ReplaceAll(slapdConf, "DIR", s.dir))
	s.Roots, s.Secret = filepath.Join(s.dir, "ca.pem"), s.Write("secret", Password+"\n")
	must(t, os.Mkdir(filepath.Join(s.dir, "data"), 0o700))
	// Under another path it is not held to the places where Debian's own may read (AppArmor).
	binary, err := os.ReadFile("/usr/sbin/slapd")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(s.dir, "slapd"), binary, 0o700))
	s.run("-T", "add", "-q", "-f", filepath.Join(s.dir, "slapd.conf"), "-l", s.Write("data.ldif", s.ldif()))
	s.serve()
	s.add()
	return s
}

// Write makes a file beside the server's and returns its path.
func (s *Server) Write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func (s *Server) run(args ...string) {
	s.t.Helper()
	if out, err := exec.Command(filepath.Join(s.dir, "slapd"), args...).CombinedOutput(); err != nil {
		s.t.Fatalf("slapd %v: %v\n%s", args, err, out)
	}
}

func (s *Server) ldif() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dn: %s\nobjectClass: dcObject\nobjectClass: organization\ndc: corp\no: Corp\n\n", Suffix)
	fmt.Fprintf(&b, "dn: %s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: gate\nuserPassword: %s\n\n", Service, Password)
	for _, ou := range []string{"people", "groups"} {
		fmt.Fprintf(&b, "dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n\n", ou, Suffix, ou)
	}
	for i := range s.people {
		fmt.Fprintf(&b, "dn: uid=u%d,ou=people,%s\nobjectClass: inetOrgPerson\nuid: u%d\ncn: User %d\nsn: %d\nmail: U%d@Corp.Example\n\n", i, Suffix, i, i, i, i)
	}
	// Names that would be something else in a filter or in a distinguished name that is put together by hand.
	fmt.Fprintf(&b, "dn: cn=Smith\\, J. (*)\\5C,ou=people,%s\nobjectClass: inetOrgPerson\ncn: Smith, J. (*)\\\nsn: Smith\nmail: smith@corp.example\nmail: js@corp.example\n\n", Suffix)
	fmt.Fprintf(&b, "dn: uid=robot,ou=people,%s\nobjectClass: inetOrgPerson\nuid: robot\ncn: robot\nsn: robot\nmail: not an address\n\n", Suffix)
	return b.String()
}

// serve runs the server until the test ends.
func (s *Server) serve() {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.dir, "slapd"), "-d", "0", "-f", filepath.Join(s.dir, "slapd.conf"), "-h", "ldap://"+s.Plain+" ldaps://"+s.TLS)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	must(s.t, cmd.Start())
	done := make(chan struct{})
	go func() { defer close(done); cmd.Wait() }()
	s.stop = func() { cmd.Process.Kill(); <-done }
	s.t.Cleanup(s.stop)
	for range 1000 {
		if c, err := net.Dial("tcp", s.Plain); err == nil {
			c.Close()
			return
		}
		select {
		case <-done:
			s.t.Fatalf("slapd ended:\n%s", &said)
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.t.Fatal("slapd does not answer")
}

// add makes the groups through the server, so that it keeps memberOf itself.
func (s *Server) add() {
	s.t.Helper()
	c := s.connect()
	defer c.Close()
	group := func(name string, members ...string) {
		r := ldap.NewAddRequest("cn="+ldap.EscapeDN(name)+",ou=groups,"+Suffix, nil)
		r.Attribute("objectClass", []string{"groupOfNames"})
		r.Attribute("member", members)
		must(s.t, c.Add(r))
	}
	user := func(i int) string { return fmt.Sprintf("uid=u%d,ou=people,%s", i, Suffix) }
	everyone := []string{`CN=smith\2C J. \28*\29\5c,OU=People,` + Suffix} // in another spelling than its entry's
	for i := range s.people {
		everyone = append(everyone, user(i))
	}
	group("everyone", everyone...)
	group("board (*)", user(1), "uid=robot,ou=people,"+Suffix, "uid=gone,ou=people,"+Suffix)
	for i, name := range []string{"a", "b", "c"} {
		group(name, user(2+i))
	}
	for outer, inner := range map[string]string{"a": "b", "b": "c", "c": "a"} {
		r := ldap.NewModifyRequest("cn="+outer+",ou=groups,"+Suffix, nil)
		r.Add("member", []string{"cn=" + inner + ",ou=groups," + Suffix})
		must(s.t, c.Modify(r))
	}
}

// Stop ends the server before the test does.
func (s *Server) Stop() { s.stop() }

// Members makes people, by their numbers, the members of a group, and nobody else.
func (s *Server) Members(group string, people ...int) {
	s.t.Helper()
	c := s.connect()
	defer c.Close()
	var members []string
	for _, i := range people {
		members = append(members, fmt.Sprintf("uid=u%d,ou=people,%s", i, Suffix))
	}
	r := ldap.NewModifyRequest("cn="+ldap.EscapeDN(group)+",ou=groups,"+Suffix, nil)
	r.Replace("member", members)
	must(s.t, c.Modify(r))
}

// connect is a connection of the administrator's.
func (s *Server) connect() *ldap.Conn {
	s.t.Helper()
	c, err := ldap.DialURL("ldap://" + s.Plain)
	must(s.t, err)
	must(s.t, c.StartTLS(&tls.Config{RootCAs: s.pool, ServerName: "localhost"}))
	must(s.t, c.Bind(admin, Password))
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
