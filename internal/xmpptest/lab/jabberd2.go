package lab

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Jabberd2 starts jabberd2 on host, with mu-conference for group chat: Debian's files with the domain put in, and for
// a peer what makes it usable in a short test. It has no Mode but Plain.
func (l *Lab) Jabberd2(host *Host, c Config) *Server {
	l.t.Helper()
	if c.page == nil && c.Mode != Plain {
		l.t.Fatal("jabberd2 is the laboratory's plaintext server; its TLS breaks with peers that are not OpenSSL")
	}
	dir := filepath.Join(l.dir, host.name+"-jabberd2")
	s := &Server{name: "jabberd2", Domain: c.Domain, Host: host, lab: l, users: c.Users}
	l.jabberd2Files(dir, c.Domain)
	for _, part := range []string{"router", "sm", "s2s", "c2s"} {
		s.files = append(s.files, dir+"/log/"+part+".log")
		l.write(dir+"/log/"+part+".log", "")
	}
	var env []string
	if c.page != nil {
		l.apply(c.page, "/etc/jabberd2/", dir+"/etc/")
		env = c.page.environment("jabberd-s2s.service")
	} else {
		s2s := readLog(dir + "/etc/s2s.xml")
		s2s = l.edit(s2s, "  <out-conn-reuse/>\n", "")
		s2s = l.edit(s2s, "<bad-host-timeout>3600<", "<bad-host-timeout>1<")
		l.write(dir+"/etc/s2s.xml", s2s)
		env = []string{"NAMESERVERS=" + l.dns.Addr.Addr().String()}
	}
	db := dir + "/data/sqlite.db"
	l.write(dir+"/data/keep", "")
	l.write(dir+"/muc/rooms/keep", "")
	l.write(dir+"/muc/rooms-logs/keep", "")
	if err := sqlite(l.t.Context(), db, jabberd2Schema()); err != nil {
		l.t.Fatalf("making jabberd2's database: %v", err)
	}
	s.addUser = func(ctx context.Context, local, domain string) error {
		return sqlite(ctx, db, fmt.Sprintf("PRAGMA busy_timeout=5000; INSERT INTO authreg(username,realm,password) VALUES('%s','%s','%s');"+
			`INSERT INTO active("collection-owner",time) VALUES('%[1]s@%[2]s',1);`, local, domain, Password))
	}
	bind := map[string]string{"/etc/jabberd2": dir + "/etc", "/var/lib/jabberd2": dir + "/data", "/var/log/jabberd2": dir + "/log", "/var/spool/jabber-muc": dir + "/muc"}
	part := func(name string, env ...string) Command {
		return Command{Name: name, Args: []string{"/usr/sbin/jabberd2-" + name, "-c", "/etc/jabberd2/" + name + ".xml"}, Env: env, Bind: bind}
	}
	s.start = func(ctx context.Context) error {
		// The parts look for the router once in 2 s, so it comes first.
		if err := s.run(ctx, part("router"), s.loopback(5347)); err != nil {
			return err
		}
		if err := s.run(ctx, part("sm")); err != nil {
			return err
		}
		if err := s.run(ctx, part("s2s", env...), c.streams(host)); err != nil {
			return err
		}
		muc := Command{Name: "muc", Args: []string{"/usr/sbin/mu-conference", "-c", "/etc/jabberd2/muc.xml"}, Bind: bind}
		if err := s.run(ctx, muc); err != nil {
			return err
		}
		if err := s.run(ctx, part("c2s"), s.loopback(5222)); err != nil {
			return err
		}
		return s.logged(ctx, "["+c.conference()+"] online")
	}
	l.launch(s)
	return s
}

// jabberd2Files copies the shipped files and puts the domain in.
func (l *Lab) jabberd2Files(dir, domain string) {
	l.t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	if err := os.CopyFS(dir+"/etc", os.DirFS("/etc/jabberd2")); err != nil {
		l.t.Fatal(err)
	}
	for _, name := range []string{"sm.xml", "c2s.xml", "muc.xml"} {
		text := readLog(dir + "/etc/" + name)
		text = strings.ReplaceAll(text, "localhost.localdomain", domain)
		text = strings.ReplaceAll(text, "conference.localhost", "conference."+domain)
		l.write(dir+"/etc/"+name, text)
	}
}

// jabberd2Schema is the SQL that the package has for SQLite.
func jabberd2Schema() string {
	b, err := os.ReadFile("/usr/share/doc/jabberd2/db-setup.sqlite.gz")
	if err != nil {
		return err.Error()
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return err.Error()
	}
	var sql bytes.Buffer
	if _, err := sql.ReadFrom(r); err != nil {
		return err.Error()
	}
	return sql.String()
}

// sqlite runs the statements on the database.
func sqlite(ctx context.Context, db, sql string) error {
	cmd := exec.CommandContext(ctx, "sqlite3", "-bail", db)
	cmd.Stdin = strings.NewReader(sql)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sqlite3: %w: %s", err, out)
	}
	return nil
}
