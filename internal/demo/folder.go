package demo

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/peer"
)

// The domains of the play.
const (
	corp    = "corp.example"
	partner = "partner.example"
	rival   = "rival.example"
)

// folder is the directory of the run: everything that the gate reads and writes.
type folder struct {
	dir       string
	temporary bool
}

// longestPath leaves room for the admin socket in the 108 bytes that the kernel has for a socket's path.
const longestPath = 90

// makeFolder makes the directory. One that is to be kept must be empty: a record is never mixed with another.
func makeFolder(keep string) (folder, error) {
	if keep == "" {
		dir, err := os.MkdirTemp("", "sallyport-demo-")
		return folder{dir: dir, temporary: true}, err
	}
	dir, err := filepath.Abs(keep)
	if err != nil {
		return folder{}, fmt.Errorf("finding %s: %w", keep, err)
	}
	entries, err := os.ReadDir(dir)
	switch {
	case len(dir) > longestPath:
		err = fmt.Errorf("the path is longer than %d bytes, and no room is left for the admin socket's name", longestPath)
	case errors.Is(err, fs.ErrNotExist):
		err = os.MkdirAll(dir, 0o755)
	case err == nil && len(entries) > 0:
		err = errors.New("it is not empty, and a record is never mixed with an older one")
	}
	if err != nil {
		return folder{}, fmt.Errorf("keeping the demo in %s: %w", keep, err)
	}
	return folder{dir: dir}, nil
}

func (f folder) config() string { return filepath.Join(f.dir, "sallyport.yaml") }
func (f folder) record() string { return filepath.Join(f.dir, "audit") }

func (f folder) remove() {
	if f.temporary {
		os.RemoveAll(f.dir)
	}
}

// places are the addresses of the run, all on loopback.
type places struct {
	inside, dns, outside string // the gate's
	corp                 string // the legacy server
	toPartner            string // the tap before partner.example
	names                string // the pretend DNS of the outside world
}

// certificates writes the authority's certificate and the gate's own pair.
func (f folder) certificates(ca *peer.Authority, gate peer.Identity) error {
	return errors.Join(
		os.WriteFile(filepath.Join(f.dir, "ca.pem"), ca.PEM, 0o644),
		os.WriteFile(filepath.Join(f.dir, "corp.pem"), gate.Cert, 0o644),
		os.WriteFile(filepath.Join(f.dir, "corp.key"), gate.Key, 0o600),
	)
}

// policy writes what the operator of corp.example adds to the shipped policy.
func (f folder) policy() error {
	dir := filepath.Join(f.dir, "policy")
	return errors.Join(
		os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "house.rego"), []byte(houseRego), 0o644),
		os.WriteFile(filepath.Join(dir, "internal.yaml"), []byte(internalYAML), 0o644),
	)
}

const houseRego = `# A house rule of corp.example. Members of deny are added to those that ship.
package sallyport.stanza

deny contains {
	"rule": "confidential",
	"reason": "the body is marked confidential",
	"condition": "policy-violation",
	"message": "What is marked confidential does not leave corp.example.",
} if {
	input.direction == "out"
	contains(lower(input.stanza.body), "confidential")
}
`

const internalYAML = `# Who does not exchange messages with other domains, in either direction.
internal:
  users:
    board@corp.example: true
`

// configuration writes sallyport.yaml.
func (f folder) configuration(at places) error {
	text := strings.NewReplacer(
		"@CORP@", at.corp, "@INSIDE@", at.inside, "@DNS@", at.dns, "@OUTSIDE@", at.outside,
		"@NAMES@", at.names, "@PARTNER@", at.toPartner,
	).Replace(configYAML)
	return os.WriteFile(f.config(), []byte(text), 0o644)
}

const configYAML = `# Written by "sallyport demo": a working example. Every address is on loopback; paths are relative to this file.
backends:
  - address: @CORP@              # the legacy server takes streams here
    from: [127.0.0.1]                     # and calls from here
    domains: [corp.example]
    tls: off
inside:
  listen: @INSIDE@               # the legacy server's way out
  dns: @DNS@                  # tells it that every domain lives there
outside:
  listen: [@OUTSIDE@]            # where the world finds corp.example
  resolver: [@NAMES@]          # the demo's own; leave it out to ask /etc/resolv.conf
  allow_private: true                     # the pretend world has loopback addresses
federation: listed                        # nobody but these peers:
peers:
  default: {channel: tls, proof: dialback}
  partner.example: {proof: pkix, route: "@PARTNER@"}
certs:
  store: certs
  files: [{cert: corp.pem, key: corp.key}]
  roots: [ca.pem]
  system_roots: false
ratchet: {file: peers.json}
contacts: {file: contacts}
dialback: {secret_file: dialback.secret}
policy: {dir: policy, mode: enforce, timeout: 5s}  # 100ms unless told; a demo must go on a busy machine, too
audit: {dir: audit, durability: sync, on_failure: refuse}
admin: {socket: admin.sock}
log: {level: info}
`
