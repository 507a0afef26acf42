package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/jid"
	"sallyport/internal/resolve"
	"sallyport/internal/stanza"
	"sallyport/proxy"
)

// settings translates the configuration into what the proxy may be given anew at each reload.
func settings(c *config.Config) (proxy.Settings, error) {
	s := proxy.Settings{Limits: limits(c.Limits), Routes: make(map[jid.Domain]resolve.Endpoint)}
	tls := map[string]proxy.InnerTLS{"off": proxy.TLSOff, "optional": proxy.TLSOptional, "required": proxy.TLSRequired}
	for _, b := range c.Backends {
		s.Backends = append(s.Backends, proxy.Backend{Address: string(b.Address), From: b.From, Domains: b.Domains, TLS: tls[b.TLS]})
	}
	for pattern, peer := range c.Peers {
		if peer.Route == "" {
			continue
		}
		domain, _ := pattern.Domain()
		endpoint, err := resolve.ParseRoute(string(peer.Route))
		if err != nil {
			return s, fmt.Errorf("peers[%s].route: %w", pattern, err)
		}
		s.Routes[domain] = endpoint
	}
	return s, nil
}

func limits(l config.Limits) proxy.Limits {
	return proxy.Limits{
		Connections: l.Connections, PerAddress: l.ConnectionsPerAddress, RatePerAddress: l.ConnectionRate,
		Stanza: stanza.Limits{Stanza: int(l.StanzaBytes), Header: int(l.HeaderBytes), Depth: l.StanzaDepth, Attributes: l.StanzaAttributes,
			Namespaces: l.StanzaNamespaces, Name: int(l.NameBytes)},
		PreAuthBytes:    [2]int{proxy.Outside: int(l.OutsidePreauthBytes), proxy.Inside: int(l.InsidePreauthBytes)},
		PreAuthTime:     [2]time.Duration{proxy.Outside: l.OutsidePreauthTime, proxy.Inside: l.InsidePreauthTime},
		PreAuthElements: l.PreauthElements,
		TLSHandshake:    l.TLS, Verify: l.Verify, Callback: l.Callback, Result: l.Result, ResultInside: l.InsideResult,
		PendingPerStream: l.PendingPerStream, PendingPerAddress: l.PendingPerAddress, PendingTotal: l.Pending,
		QueueCount: l.QueueStanzas, QueueBytes: int(l.QueueBytes), QueueAge: l.QueueAge, QueueWait: l.QueueWait,
		Write: l.Write, Idle: l.Idle, Keepalive: l.Keepalive, NegativeMin: l.NegativeFirst, NegativeMax: l.NegativeMax,
		Drain: l.Drain, OutboundLinks: l.Links, PairsPerStream: l.PairsPerStream, AddressesPerStream: l.AddressesPerStream,
	}
}

// ownListeners are the addresses that are never called, whoever's DNS names them.
func ownListeners(c *config.Config) []netip.AddrPort {
	return append(append([]netip.AddrPort{c.Inside.Gate, c.Inside.Listen}, c.Outside.Listen...), c.Outside.DirectTLS...)
}

// logger writes to standard error as the configuration says. level can be changed by a reload.
func logger(c config.Log, level *slog.LevelVar) *slog.Logger {
	setLevel(c, level)
	options := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}

func setLevel(c config.Log, level *slog.LevelVar) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(c.Level)); err == nil {
		level.Set(l)
	}
}
