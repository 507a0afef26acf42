package config

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"sallyport/audit"
	"sallyport/internal/jid"
	"sallyport/internal/resolve"
	"sallyport/proxy"
)

// Settings is the part of the configuration that the proxy lives by and that a reload may change.
func (c *Config) Settings() proxy.Settings {
	s := proxy.Settings{Routes: make(map[jid.Domain]resolve.Endpoint), Acks: c.Outside.Acks, Bidi: c.Outside.Bidi, Limits: c.Limits.proxy()}
	s.Level, _ = audit.ParseLevel(c.Audit.Level) // Check has read it
	words := map[string]proxy.InnerTLS{"off": proxy.TLSOff, "optional": proxy.TLSOptional, "required": proxy.TLSRequired, "certificate": proxy.TLSCertificate}
	for _, b := range c.Backends {
		s.Backends = append(s.Backends, proxy.Backend{Address: string(b.Address), From: b.From, Domains: b.Domains, TLS: words[b.TLS]})
	}
	for pattern, p := range c.Peers {
		if p.Route == "" {
			continue
		}
		domain, _ := pattern.Domain()
		s.Routes[domain] = p.Route.Endpoint()
	}
	return s
}

// BackendSockets are where the backends take streams, as far as that is told by address.
func (c *Config) BackendSockets() (all []netip.AddrPort) {
	for _, b := range c.Backends {
		at, ok := b.Address.Addr()
		if ok {
			all = append(all, at)
		}
		_, port, _ := net.SplitHostPort(string(b.Address))
		number, err := strconv.ParseUint(port, 10, 16)
		for _, from := range b.From {
			if same := netip.AddrPortFrom(from, uint16(number)); err == nil && same != at {
				all = append(all, same)
			}
		}
	}
	return all
}

// Resolver is the configuration of the resolver, which never calls the gate's own sockets.
func (c *Config) Resolver() resolve.Config {
	rc := c.Outside.Config
	rc.DirectTLS = true
	for _, l := range c.listeners() {
		rc.Listeners = append(rc.Listeners, l.at)
	}
	return rc
}

// proxy hands each limit to its place. A test sees to it that none is forgotten.
func (l Limits) proxy() proxy.Limits {
	out := proxy.Limits{
		Connections:        l.Connections,
		PerAddress:         l.ConnectionsPerAddress,
		RatePerAddress:     l.ConnectionRate,
		FailuresPerAddress: l.FailuresPerAddress,
		Failures:           l.Failures,
		PreAuthBytes:       [2]int{proxy.Outside: int(l.OutsidePreauthBytes), proxy.Inside: int(l.InsidePreauthBytes)},
		PreAuthElements:    l.PreauthElements,
		PreAuthTime:        [2]time.Duration{proxy.Outside: l.OutsidePreauthTime, proxy.Inside: l.InsidePreauthTime},
		TLSHandshake:       l.TLS,
		BackendDial:        l.BackendDial,
		Verify:             l.Verify,
		Callback:           l.Callback,
		Result:             l.Result,
		ResultInside:       l.InsideResult,
		PendingPerStream:   l.PendingPerStream,
		PendingPerAddress:  l.PendingPerAddress,
		PendingPerDomain:   l.PendingPerDomain,
		PendingTotal:       l.Pending,
		QueueCount:         l.QueueStanzas,
		QueueBytes:         int(l.QueueBytes),
		QueueTotal:         int(l.QueueTotal),
		QueueAge:           l.QueueAge,
		QueueWait:          l.QueueWait,
		BackendDown:        l.BackendDown,
		Write:              l.Write,
		Ack:                l.Ack,
		Idle:               l.Idle,
		Keepalive:          l.Keepalive,
		OutsideIdle:        l.OutsideIdle,
		Close:              l.Close,
		NegativeMin:        l.NegativeFirst,
		NegativeMax:        l.NegativeMax,
		NegativeVerify:     l.NegativeVerify,
		Drain:              l.Drain,
		OutboundLinks:      l.Links,
		RevocationBytes:    int(l.RevocationBytes),
		PairsPerStream:     l.PairsPerStream,
		AddressesPerStream: l.AddressesPerStream,
	}
	out.Stanza.Stanza = int(l.StanzaBytes)
	out.Stanza.Header = int(l.HeaderBytes)
	out.Stanza.Depth = l.StanzaDepth
	out.Stanza.Attributes = l.StanzaAttributes
	out.Stanza.Namespaces = l.StanzaNamespaces
	out.Stanza.Name = int(l.NameBytes)
	return out
}
