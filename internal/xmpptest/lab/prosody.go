package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Prosody starts Prosody on host: Debian's prosody.cfg.lua as it is, and in conf.d what a site adds.
func (l *Lab) Prosody(host *Host, c Config) *Server {
	l.t.Helper()
	dir := filepath.Join(l.dir, host.name+"-prosody")
	s := &Server{name: "prosody", Domain: c.Domain, Host: host, lab: l, users: c.Users, files: []string{dir + "/log/prosody.log"}}
	cert := c.Cert
	if cert == nil {
		cert = l.ca.Issue(l.t, Sound, c.Domain, c.conference())
	}
	l.copy("/etc/prosody/prosody.cfg.lua", dir+"/etc/prosody.cfg.lua")
	for _, d := range []string{c.Domain, c.conference()} {
		l.copy(cert.Chain, dir+"/etc/certs/"+d+".crt")
		l.copy(cert.Key, dir+"/etc/certs/"+d+".key")
	}
	l.copy(l.ca.Root, dir+"/etc/certs/root.pem")
	site := fmt.Sprintf("run_as_root = true\nVirtualHost %q\nComponent %q \"muc\"\n", c.Domain, c.conference())
	if c.page == nil {
		host.useBind()
		site = prosodyModes[c.Mode] + site
		site = c.Lines + site
	} else {
		for path, text := range c.page.files {
			l.write(dir+"/etc/"+strings.TrimPrefix(path, "/etc/prosody/"), text)
		}
	}
	for i, s := range c.Sites {
		file := fmt.Sprintf("certs/site%d", i)
		l.copy(s.Cert.Chain, dir+"/etc/"+file+".crt")
		l.copy(s.Cert.Key, dir+"/etc/"+file+".key")
		site += fmt.Sprintf("VirtualHost \"%s\"\n\tssl = { certificate = \"/etc/prosody/%s.crt\", key = \"/etc/prosody/%[2]s.key\" }\n", s.Domain, file)
	}
	if c.Gateway != "" {
		site += fmt.Sprintf("Component %q\n\tcomponent_secret = %q\n", c.Gateway, Password)
	}
	l.write(dir+"/etc/conf.d/site.cfg.lua", site)
	l.bring(c.Files, "/etc/prosody/", dir+"/etc/")
	l.write(dir+"/log/prosody.log", "")
	s.addUser = func(_ context.Context, u, domain string) error {
		accounts := filepath.Join(dir, "data", prosodyEscaped(domain), "accounts")
		if err := os.MkdirAll(accounts, 0o755); err != nil {
			return err
		}
		// The shipped internal_hashed takes a password in clear and hashes it at the first login.
		return os.WriteFile(filepath.Join(accounts, u+".dat"), []byte(fmt.Sprintf("return { [\"password\"] = %q }\n", Password)), 0o644)
	}
	l.write(dir+"/data/keep", "")
	s.start = func(ctx context.Context) error {
		return s.run(ctx, Command{Name: "prosody", Args: []string{"/usr/bin/prosody", "-F"},
			Bind: map[string]string{"/etc/prosody": dir + "/etc", "/var/lib/prosody": dir + "/data", "/var/log/prosody": dir + "/log"}},
			s.loopback(5222), c.streams(host))
	}
	l.launch(s)
	return s
}

// prosodyEscaped is how Prosody names the folder of a domain.
func prosodyEscaped(domain string) string {
	var b strings.Builder
	for _, c := range []byte(domain) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// prosodyModes are the lines of a peer for each Mode. The shipped file has s2s_secure_auth = true and mod_tls.
var prosodyModes = [...]string{
	Plain:       "modules_disabled = { \"tls\" }\nc2s_require_encryption = false\nallow_unencrypted_plain_auth = true\ns2s_require_encryption = false\ns2s_secure_auth = false\n",
	OptionalTLS: "s2s_require_encryption = false\ns2s_secure_auth = false\nssl = { cafile = \"/etc/prosody/certs/root.pem\" }\n",
	RequiredTLS: "s2s_require_encryption = true\ns2s_secure_auth = false\nssl = { cafile = \"/etc/prosody/certs/root.pem\" }\n",
	Certified:   "s2s_require_encryption = true\ns2s_secure_auth = true\nssl = { cafile = \"/etc/prosody/certs/root.pem\" }\n",
}

// bring copies files into the folder dir, which the server sees as prefix.
func (l *Lab) bring(files map[string]string, prefix, dir string) {
	l.t.Helper()
	for to, from := range files {
		rest, ok := strings.CutPrefix(to, prefix)
		if !ok {
			l.t.Fatalf("%s is not in %s", to, prefix)
		}
		l.copy(from, dir+rest)
	}
}

// copy copies a file into the laboratory.
func (l *Lab) copy(from, to string) {
	l.t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		l.t.Fatal(err)
	}
	l.write(to, string(b))
}
