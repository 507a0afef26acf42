package load

import (
	"context"
	"errors"

	"sallyport/internal/peer"
)

// Alone starts no subject at all: the two ends talk to each other, both legacy in plaintext or both modern. What it costs is
// what the generator costs.
func Alone(ctx context.Context, plaintext bool) (_ *Subject, err error) {
	s, ctx, err := newSubject(ctx, "generator alone", gateDomain)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	if plaintext {
		s.Name = "generator alone, plaintext"
	}
	names, err := peer.ListenNames("", nil)
	if err != nil {
		return nil, err
	}
	s.onClose(func() { names.Close() })
	var servers []*peer.Server
	for _, e := range []*end{s.remote, s.local} {
		server, err := s.aloneEnd(ctx, e, names, plaintext)
		if err != nil {
			return nil, err
		}
		s.onClose(func() { server.Close() })
		names.Set(e.domain, server.Addr())
		servers = append(servers, server)
		s.place = server.Addr() // of the local end, which comes last
	}
	return s, errors.Join(connect(ctx, servers[0], s.remote, s.local), connect(ctx, servers[1], s.local, s.remote))
}

func (s *Subject) aloneEnd(ctx context.Context, e *end, names *peer.Names, plaintext bool) (*peer.Server, error) {
	hooks, where := peer.Hooks{Take: e.take}, peer.Directory{DNS: names.Addr}
	if plaintext {
		return peer.Legacy{Domains: []string{e.domain}, Directory: where, Verify: peer.OverSeparate, Hooks: hooks}.Start(ctx)
	}
	id, err := s.authority.Issue(e.domain)
	if err != nil {
		return nil, err
	}
	return peer.Modern{Domains: []string{e.domain}, Directory: where, Certificate: id.TLS, Roots: s.authority.Pool(), External: true, Hooks: hooks}.Start(ctx)
}
