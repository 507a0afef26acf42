package demo

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/peer"
)

// cast is everybody but the gate, and the wires between them.
type cast struct {
	at                   places
	corp, partner, rival *peer.Server
	names                *peer.Names // DNS of the outside world

	toGate, toPartner, toRival *peer.Tap // each stands before the one that it is named for
}

// assemble writes the folder and starts everybody but the gate, whose addresses are therefore fixed beforehand.
func assemble(ctx context.Context, f folder) (*cast, error) {
	ports, err := peer.Reserve(3)
	if err != nil {
		return nil, err
	}
	ca, err := peer.NewAuthority("Sallyport demo authority")
	if err != nil {
		return nil, err
	}
	c := &cast{at: places{inside: ports[0], dns: ports[1], outside: ports[2]}}
	for _, step := range []func() error{
		c.world,
		func() error { return c.legacy(ctx) },
		func() error { return c.moderns(ctx, ca) },
		func() error { return c.write(f, ca) },
	} {
		if err := step(); err != nil {
			c.close()
			return nil, fmt.Errorf("setting up the demo: %w", err)
		}
	}
	return c, nil
}

// world starts the DNS of the outside, and the wire that leads to the gate.
func (c *cast) world() (err error) {
	if c.toGate, err = peer.NewTap("", c.at.outside); err != nil {
		return err
	}
	c.names, err = peer.ListenNames("", map[string]string{corp: c.toGate.Addr()})
	return err
}

func (c *cast) legacy(ctx context.Context) (err error) {
	c.corp, err = peer.Legacy{Domains: []string{corp}, Directory: peer.Directory{DNS: c.at.dns}}.Start(ctx)
	return err
}

func (c *cast) moderns(ctx context.Context, ca *peer.Authority) (err error) {
	if c.partner, c.toPartner, err = c.modern(ctx, ca, peer.Modern{Domains: []string{partner}}); err != nil {
		return err
	}
	c.rival, c.toRival, err = c.modern(ctx, ca, peer.Modern{Domains: []string{rival}, External: true})
	return err
}

// modern starts a server with a tap before it, which is where DNS says that the server is.
func (c *cast) modern(ctx context.Context, ca *peer.Authority, m peer.Modern) (*peer.Server, *peer.Tap, error) {
	id, err := ca.Issue(m.Domains[0])
	if err != nil {
		return nil, nil, err
	}
	m.Certificate, m.Roots, m.Directory = id.TLS, ca.Pool(), peer.Directory{DNS: c.names.Addr}
	s, err := m.Start(ctx)
	if err != nil {
		return nil, nil, err
	}
	tap, err := peer.NewTap("", s.Addr())
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	c.names.Set(m.Domains[0], tap.Addr())
	return s, tap, nil
}

func (c *cast) write(f folder, ca *peer.Authority) error {
	id, err := ca.Issue(corp)
	if err != nil {
		return err
	}
	return errors.Join(f.certificates(ca, id), f.policy(), f.configuration(c.places()))
}

// places are the gate's addresses and those that it has to know.
func (c *cast) places() places {
	at := c.at
	at.corp, at.toPartner, at.names = c.corp.Addr(), c.toPartner.Addr(), c.names.Addr
	return at
}

// close ends whoever was started. It may be called twice.
func (c *cast) close() {
	for _, s := range []*peer.Server{c.corp, c.partner, c.rival} {
		if s != nil {
			s.Close()
		}
	}
	for _, t := range []*peer.Tap{c.toGate, c.toPartner, c.toRival} {
		if t != nil {
			t.Close()
		}
	}
	if c.names != nil {
		c.names.Close()
	}
}
