package load

import (
	"errors"
	"os"
	"path/filepath"
)

// Ejabberd is Debian's package for dialback over TLS, started as a plain Erlang program: no node name, no epmd.
func Ejabberd() Server {
	return Server{
		Name: "ejabberd", needs: "ejabberdctl",
		write: func(dir string, v map[string]string) error {
			return errors.Join(
				os.MkdirAll(filepath.Join(dir, "spool"), 0o755), os.MkdirAll(filepath.Join(dir, "logs"), 0o755),
				fill(filepath.Join(dir, "ejabberd.yml"), ejabberdConfig, v),
				fill(filepath.Join(dir, "inetrc"), inetrc, v),
			)
		},
		command: func(dir string) command {
			at := func(name string) string { return filepath.Join(dir, name) }
			return command{
				dir: dir,
				env: []string{"ERL_INETRC=" + at("inetrc"), "EJABBERD_CONFIG_PATH=" + at("ejabberd.yml"), "EJABBERD_LOG_PATH=" + at("logs/ejabberd.log"),
					"EJABBERD_PID_PATH=" + at("ejabberd.pid"), "ERL_LIBS=/usr/lib/x86_64-linux-gnu", "ERL_CRASH_DUMP_BYTES=0", "ERL_MAX_PORTS=32000", "HOME=" + dir},
				args: []string{"erl", "+K", "true", "+P", "250000", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none",
					"-noinput", "-mnesia", "dir", `"` + at("spool") + `"`, "-s", "ejabberd"},
			}
		},
	}
}

// inetrc has SRV records looked up by our DNS; their targets are addresses written as names, which glibc reads by itself.
const inetrc = `{lookup,["file","native"]}.
{host,{127,0,0,1}, ["localhost"]}.
{resolv_conf, ""}.
{nameserver, {127,0,0,1}, @DNS@}.
`

const ejabberdConfig = `loglevel: warning
log_rotate_count: 0
hosts: ["direct.example"]
certfiles: ["@DIR@/both.pem"]
s2s_use_starttls: required
outgoing_s2s_families: [ipv4]
s2s_access: all
acme: { auto: false }
auth_method: internal
listen:
  -
    port: @S2S@
    ip: "127.0.0.1"
    module: ejabberd_s2s_in
    max_stanza_size: 524288
  -
    port: @COMPONENT@
    ip: "127.0.0.1"
    module: ejabberd_service
    hosts:
      "sink.direct.example":
        password: "secret"
modules:
  mod_disco: {}
  mod_ping: {}
  mod_s2s_dialback: {}
`
