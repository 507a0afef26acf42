package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"sallyport/internal/peer"
)

// GateOptions say which gate is measured.
type GateOptions struct {
	Binary     string // the sallyport program
	Dir        string // an empty directory for it; its record is written there, so its disk matters
	Durability string // sync or async
}

// Gate starts a gate with the shipped policy and its default audit level, in enforce mode, between a modern server outside and a
// legacy one inside, and brings the links of both directions up.
func Gate(ctx context.Context, o GateOptions) (*Subject, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &Subject{Name: "sallyport " + o.Durability, remote: &end{domain: remoteDomain, in: newCounter()}, local: &end{domain: gateDomain, in: newCounter()}}
	var servers []*peer.Server
	var gate *program
	s.close = func() {
		for _, server := range servers {
			server.Close()
		}
		if gate != nil {
			gate.stop()
		}
		cancel()
	}
	fail := func(err error) (*Subject, error) {
		s.close()
		return nil, fmt.Errorf("measuring the gate: %w", err)
	}
	ca, err := peer.NewAuthority("Load generator")
	if err != nil {
		return fail(err)
	}
	ports, err := peer.Reserve(3)
	if err != nil {
		return fail(err)
	}
	inside, outside := ports[0], ports[2]
	s.authority, s.place = ca, outside
	remote, err := remoteEnd(ctx, ca, outside, s.remote.in)
	if err != nil {
		return fail(err)
	}
	servers = append(servers, remote)
	local, err := peer.Legacy{Domains: []string{gateDomain}, Verify: peer.OverSeparate, Directory: peer.Directory{DNS: ports[1]},
		Hooks: peer.Hooks{Take: func(_ peer.Pair, c net.Conn) { s.local.in.Read(c) }}}.Start(ctx)
	if err != nil {
		return fail(err)
	}
	servers = append(servers, local)
	config, err := writeGate(o, ca, map[string]string{"@LOCAL@": local.Addr(), "@REMOTE@": remote.Addr(), "@INSIDE@": inside, "@DNS@": ports[1], "@OUTSIDE@": outside})
	if err != nil {
		return fail(err)
	}
	if gate, err = launch(ctx, o.Dir, nil, o.Binary, "run", "-c", config); err != nil {
		return fail(err)
	}
	s.pids, s.writes = []int{gate.cmd.Process.Pid}, true
	if err := gate.until(ctx, func() bool { return listens(inside) && listens(outside) }); err != nil {
		return fail(err)
	}
	if err := errors.Join(connect(ctx, remote, s.remote, s.local), connect(ctx, local, s.local, s.remote)); err != nil {
		return fail(gate.fault(err))
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
	text := configYAML
	for name, place := range places {
		text = strings.ReplaceAll(text, name, place)
	}
	text = strings.NewReplacer("@DIR@", o.Dir, "@DURABILITY@", o.Durability).Replace(text)
	config = filepath.Join(o.Dir, "sallyport.yaml")
	return config, errors.Join(
		os.MkdirAll(filepath.Join(o.Dir, "policy"), 0o755),
		os.WriteFile(filepath.Join(o.Dir, "ca.pem"), ca.PEM, 0o644),
		os.WriteFile(filepath.Join(o.Dir, "corp.pem"), id.Cert, 0o644),
		os.WriteFile(filepath.Join(o.Dir, "corp.key"), id.Key, 0o600),
		os.WriteFile(config, []byte(text), 0o644),
	)
}

const configYAML = `# Written by the load generator.
backends:
  - {address: "@LOCAL@", from: [127.0.0.1], domains: [corp.example], tls: off}
inside: {listen: "@INSIDE@", dns: "@DNS@"}
outside: {listen: ["@OUTSIDE@"], allow_private: true}
federation: listed
peers:
  load.example: {proof: pkix, route: "@REMOTE@"}
  "*.load.example": {proof: pkix}
certs:
  store: @DIR@/certs
  files: [{cert: @DIR@/corp.pem, key: @DIR@/corp.key}]
  roots: [@DIR@/ca.pem]
  system_roots: false
dialback: {secret_file: @DIR@/dialback.secret}
policy: {dir: @DIR@/policy, mode: enforce}
audit: {dir: @DIR@/audit, durability: @DURABILITY@, on_failure: refuse}
admin: {socket: @DIR@/admin.sock}
log: {level: warn}
`
