package lab

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// Ejabberd starts ejabberd on host: Debian's ejabberd.yml with the domain, its certificate, leave to make accounts, and
// what the mode asks. It runs as the package's ejabberdctl would run it with ERL_DIST_PORT set, which spares epmd; the node
// name stays, since without one there is no cookie, and without a cookie all have the same dialback secret.
func (l *Lab) Ejabberd(host *Host, c Config) *Server {
	l.t.Helper()
	dir := filepath.Join(l.dir, host.name+"-ejabberd")
	s := &Server{name: "ejabberd", Domain: c.Domain, Host: host, lab: l, users: c.Users} // it logs to its output, too
	cert := c.Cert
	if cert == nil {
		cert = l.ca.Issue(l.t, Sound, c.Domain, c.conference())
	}
	l.copy(cert.Both, dir+"/etc/ejabberd.pem")
	l.copy(l.ca.Root, dir+"/etc/root.pem")
	l.copy("/etc/ejabberd/inetrc", dir+"/etc/inetrc")
	l.write(dir+"/etc/ejabberd.yml", l.ejabberdConf(dir, host, c))
	if c.page != nil {
		l.apply(c.page, "/etc/ejabberd/", dir+"/etc/")
	}
	l.bring(c.Files, "/etc/ejabberd/", dir+"/etc/")
	for _, d := range []string{"/etc/modules.d", "/data", "/log"} {
		l.write(dir+d+"/keep", "")
	}
	s.addUser = s.register
	erl := []string{"/usr/bin/erl", "-sname", "ejabberd@localhost", "-erl_epmd_port", "5210", "-start_epmd", "false", "+K", "true", "+P", "250000", "+S", "1:1", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none",
		"-env", "ERL_CRASH_DUMP_BYTES", "0", "-noinput", "-mnesia", "dir", `"/var/lib/ejabberd"`, "-s", "ejabberd"}
	s.start = func(ctx context.Context) error {
		return s.run(ctx, Command{Name: "ejabberd", Args: erl,
			Env: []string{"ERL_INETRC=/etc/ejabberd/inetrc", "ERL_LIBS=/usr/lib/x86_64-linux-gnu", "ERL_MAX_PORTS=32000", "HOME=/var/lib/ejabberd",
				"EJABBERD_CONFIG_PATH=/etc/ejabberd/ejabberd.yml", "EJABBERD_LOG_PATH=/var/log/ejabberd/ejabberd.log",
				"EJABBERD_PID_PATH=/run/ejabberd/ejabberd.pid", "CONTRIB_MODULES_CONF_DIR=/etc/ejabberd/modules.d"},
			Bind: map[string]string{"/etc/ejabberd": dir + "/etc", "/var/lib/ejabberd": dir + "/data", "/var/log/ejabberd": dir + "/log"}},
			s.loopback(5222), s.loopback(5443), c.streams(host))
	}
	l.launch(s)
	return s
}

// ejabberdConf is the shipped ejabberd.yml with the domains and their certificates, and for a peer what the mode and the Config add.
func (l *Lab) ejabberdConf(dir string, host *Host, c Config) string {
	l.t.Helper()
	shipped, err := os.ReadFile("/etc/ejabberd/ejabberd.yml")
	if err != nil {
		l.t.Fatal(err)
	}
	hosts, certs := "hosts:\n  - "+c.Domain+"\n", "certfiles:\n  - \"/etc/ejabberd/ejabberd.pem\"\n"
	for i, site := range c.Sites {
		file := fmt.Sprintf("/site%d.pem", i)
		l.copy(site.Cert.Both, dir+"/etc"+file)
		hosts += "  - \"" + site.Domain + "\"\n"
		certs += "  - \"/etc/ejabberd" + file + "\"\n"
	}
	conf := l.edit(string(shipped), "hosts:\n  - localhost\n", hosts)
	conf = l.edit(conf, "certfiles:\n  - \"/etc/ejabberd/ejabberd.pem\"\n", certs)
	conf = l.edit(conf, "api_permissions:\n", "api_permissions:\n  laboratory:\n    from: [mod_http_api]\n    who: all\n    what: register\n")
	conf += "acme: {auto: false}\n"
	if c.page == nil {
		host.useBind()
		for i, edit := range ejabberdModes[c.Mode] {
			if i%2 == 1 {
				conf = l.edit(conf, ejabberdModes[c.Mode][i-1], edit)
			}
		}
		conf = l.edit(conf, "\nlisten:\n", "\nlisten:\n"+c.Listeners)
		conf += "ca_file: /etc/ejabberd/root.pem\n" + c.Lines
	}
	return conf
}

// ejabberdModes are pairs of a line as shipped and its replacement, for each Mode.
var ejabberdModes = [...][]string{
	Plain:       {"s2s_use_starttls: required\n", "s2s_use_starttls: false\n"},
	OptionalTLS: {"s2s_use_starttls: required\n", "s2s_use_starttls: optional\n"},
	RequiredTLS: {},
	Certified:   {"  mod_s2s_dialback: {}\n", ""},
}

// register asks the HTTP API for an account.
func (s *Server) register(ctx context.Context, user, domain string) error {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return s.Host.Dial(ctx, network, s.loopback(5443).String())
		},
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DisableKeepAlives: true,
	}}
	body, err := json.Marshal(map[string]string{"user": user, "host": domain, "password": Password})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://localhost/api/register", bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("registering: %s", resp.Status)
	}
	return nil
}

// edit replaces what has to stand exactly once in a shipped file.
func (l *Lab) edit(text, from, to string) string {
	l.t.Helper()
	if n := strings.Count(text, from); n != 1 {
		l.t.Fatalf("the shipped file has %d times, not once:\n%s", n, from)
	}
	return strings.Replace(text, from, to, 1)
}
