package load

import (
	"os"
	"path/filepath"
)

// Prosody is Debian's package as it would be put before the internet for dialback over TLS: no limits, no certificates-only.
func Prosody() Server {
	return Server{
		Name: "Prosody", needs: "prosody",
		write: func(dir string, v map[string]string) error {
			v["@ROOT@"] = "false"
			if os.Getuid() == 0 {
				v["@ROOT@"] = "true"
			}
			if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
				return err
			}
			return fill(filepath.Join(dir, "prosody.cfg.lua"), prosodyConfig, v)
		},
		command: func(dir string) command {
			return command{dir: dir, args: []string{"prosody", "-F", "--config", filepath.Join(dir, "prosody.cfg.lua")}}
		},
	}
}

const prosodyConfig = `run_as_root = @ROOT@
daemonize = false
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@/data"
log = { { levels = { min = "warn" }, to = "file", filename = "@DIR@/prosody.log" } }
interfaces = { "127.0.0.1" }
s2s_ports = { @S2S@ }
c2s_ports = {}
component_ports = { @COMPONENT@ }
http_ports = {} https_ports = {}
modules_enabled = { "disco"; "ping"; "dialback"; "tls" }
s2s_require_encryption = true
s2s_secure_auth = false
unbound = { resolvconf = false; hoststxt = false; forward = { "127.0.0.1@@DNS@" } }
ssl = { certificate = "@DIR@/cert.pem"; key = "@DIR@/key.pem" }
VirtualHost "direct.example"
Component "sink.direct.example"
  component_secret = "secret"
`
