package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"sallyport/internal/peer"
)

// gateName begins the names of gates.
const gateName = "sallyport"

// GateOptions say which gate is measured.
type GateOptions struct {
	Binary     string // the sallyport program
	Dir        string // an empty directory for it; its record is written there, so its disk matters
	Durability string // sync or async
}

// Gate starts a gate with the shipped policy and its default audit level, in enforce mode, between a modern server outside and a
// legacy one inside, and brings the links of both directions up.
func Gate(ctx context.Context, o GateOptions) (_ *Subject, err error) {
	s, ctx, err := newSubject(ctx, gateName+" "+o.Durability, gateDomain)
	defer func() {
		if err != nil {
			s.Close()
			err = fmt.Errorf("measuring the gate: %w", err)
		}
	}()
	if err != nil {
		return nil, err
	}
	ports, err := peer.Reserve(3)
	if err != nil {
		return nil, err
	}
	inside, dns := ports[0], ports[1]
	s.place = ports[2]
	remote, names, err := s.remoteEnd(ctx)
	if err != nil {
		return nil, err
	}
	local, err := peer.Legacy{Domains: []string{gateDomain}, Verify: peer.OverSeparate, Directory: peer.Directory{DNS: dns},
		Hooks: peer.Hooks{Take: s.local.take}}.Start(ctx)
	if err != nil {
		return nil, err
	}
	s.onClose(func() { local.Close() })
	config, err := writeGate(o, s.authority, map[string]string{"@LOCAL@": local.Addr(), "@REMOTE@": remote.Addr(), "@NAMES@": names,
		"@INSIDE@": inside, "@DNS@": dns, "@OUTSIDE@": s.place, "@DURABILITY@": o.Durability})
	if err != nil {
		return nil, err
	}
	gate, err := s.launch(ctx, command{dir: o.Dir, args: []string{o.Binary, "run", "-c", config}})
	if err != nil {
		return nil, err
	}
	s.writes, s.admin = true, filepath.Join(o.Dir, "admin.sock")
	if err := gate.until(ctx, func() bool { return listens(inside) && listens(s.place) }); err != nil {
		return nil, err
	}
	if err := errors.Join(connect(ctx, remote, s.remote, s.local), connect(ctx, local, s.local, s.remote)); err != nil {
		return nil, gate.fault(err)
	}
	return s, nil
}

// listens says whether somebody takes connections at a place.
func listens(place string) bool {
	conn, err := net.Dial("tcp", place)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func writeGate(o GateOptions, ca *peer.Authority, places map[string]string) (config string, err error) {
	id, err := ca.Issue(gateDomain)
	if err != nil {
		return "", err
	}
	config = filepath.Join(o.Dir, "sallyport.yaml")
	return config, errors.Join(
		os.MkdirAll(filepath.Join(o.Dir, "policy"), 0o755),
		os.WriteFile(filepath.Join(o.Dir, "ca.pem"), ca.PEM, 0o644),
		os.WriteFile(filepath.Join(o.Dir, "corp.pem"), id.Cert, 0o644),
		os.WriteFile(filepath.Join(o.Dir, "corp.key"), id.Key, 0o600),
		fill(config, configYAML, places),
	)
}

const configYAML = `# Written by the load generator.
backends:
  - {address: "@LOCAL@", from: [127.0.0.1], domains: [corp.example], tls: off}
inside: {listen: "@INSIDE@", dns: "@DNS@"}
outside: {listen: ["@OUTSIDE@"], resolver: ["@NAMES@"], allow_private: true}
federation: listed
peers:
  load.example: {proof: pkix, route: "@REMOTE@"}
  "*.load.example": {proof: pkix}
certs:
  store: certs
  files: [{cert: corp.pem, key: corp.key}]
  roots: [ca.pem]
  system_roots: false
dialback: {secret_file: dialback.secret}
ratchet: {file: peers.json}
contacts: {file: contacts}
policy: {dir: policy, mode: enforce, timeout: 5s}  # an evaluation may wait for a CPU while the generator has all of them
audit: {dir: audit, durability: @DURABILITY@, on_failure: refuse}
admin: {socket: admin.sock}
log: {level: warn}
`
