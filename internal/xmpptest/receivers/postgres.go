package receivers

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const postgresBin = "/usr/lib/postgresql/15/bin/"

// Database is a PostgreSQL server.
type Database struct {
	*Server
	Port   int
	Secret string // file with the password of the role sallyport
}

// Postgres makes a server that takes roles with passwords over TLS, and the role admin on its socket, which is in Dir.
func Postgres(t testing.TB) *Database {
	t.Helper()
	needs(t, postgresBin+"postgres")
	s := prepare(t, account(t, "postgres"))
	data := s.Dir + "/data"
	initdb := exec.Command(postgresBin+"initdb", "-D", data, "-U", "admin", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale", "C")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	initdb.Dir = s.Dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s.write("data/pg_hba.conf", "local all admin trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
	d := &Database{Server: s, Port: FreePort(t), Secret: s.write("password", Password+"\n")}
	s.argv = []string{postgresBin + "postgres", "-D", data, "-p", fmt.Sprint(d.Port), "-k", s.Dir, "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on",
		"-c", "ssl_cert_file=" + s.Dir + "/cert.pem", "-c", "ssl_key_file=" + s.Dir + "/key.pem", "-c", "max_connections=10", "-c", "shared_buffers=8MB"}
	s.URL = fmt.Sprintf("postgres://sallyport@127.0.0.1:%d/sallyport", d.Port)
	return d
}

// Password is that of the roles that SetUp makes.
const Password = "hush-hush"

// SetUp does, as admin, what the page docs/audit-postgres.md tells an administrator to do. It waits for a server that is starting.
func (d *Database) SetUp(page string) {
	d.t.Helper()
	text, err := os.ReadFile(page)
	must(d.t, err)
	_, orders, _ := strings.Cut(string(text), "```\n")
	orders, _, _ = strings.Cut(orders, "```\n")
	orders = strings.ReplaceAll(orders, "'...'", "'"+Password+"'")
	deadline := time.Now().Add(20 * time.Second)
	for d.psql("postgres", "SELECT 1") != nil {
		if time.Now().After(deadline) {
			d.t.Fatal("PostgreSQL does not start")
		}
		<-time.After(50 * time.Millisecond) // nothing tells us when
	}
	must(d.t, d.psql("postgres", orders))
}

func (d *Database) psql(base, orders string) error {
	_, err := d.query(base, orders)
	return err
}

func (d *Database) query(base, orders string) (string, error) {
	cmd := exec.Command(postgresBin+"psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-h", d.Dir, "-p", fmt.Sprint(d.Port), "-U", "admin", base)
	cmd.Stdin = strings.NewReader(orders)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("psql: %w", err)
	}
	return string(out), nil
}

// IDs are the ids of the events and checkpoints that are there, and how often each is.
func (d *Database) IDs() map[string]int {
	d.t.Helper()
	out, err := d.query("sallyport", "SELECT id FROM sallyport.event; SELECT id FROM sallyport.checkpoint")
	must(d.t, err)
	return count(strings.Fields(out))
}

func count(ids []string) map[string]int {
	n := make(map[string]int)
	for _, id := range ids {
		n[id]++
	}
	return n
}
