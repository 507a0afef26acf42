package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"sallyport/audit"
	"sallyport/internal/config"
	"sallyport/policy"
)

// reload puts a new configuration, policy and certificates in force, all of it or nothing, and says which.
func (g *gate) reload() {
	changed, err := g.tryReload()
	e := audit.Event{Kind: audit.ConfigReload, Revision: g.policy.Snapshot().Revision()}
	if err != nil {
		e.Error = err.Error()
		n := 0
		each(err, func(reason string) { n++; g.log.Error("fault", "reason", reason) })
		g.log.Error("reload refused, everything stays as it was", "faults", n)
	} else {
		g.log.Info("reloaded", "config", g.path, "changed", changed, "policy", e.Revision)
		g.warn()
	}
	g.record.Note(e)
}

// policyChanges ticks when the policy's directory is to be looked at.
func (g *gate) policyChanges() (ticks <-chan time.Time, stop func()) {
	every := g.policy.Watch()
	if every <= 0 {
		return nil, func() {}
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// reloadPolicy puts the policy in force as its directory now has it, if that has changed. One that does not load is told once, and the one
// that is in force stays.
func (g *gate) reloadPolicy() {
	if !g.policy.Stale() {
		return
	}
	was := g.policy.Snapshot().Revision()
	err := g.policy.Reload(g.config.PolicyData())
	now := g.policy.Snapshot().Revision()
	e := audit.Event{Kind: audit.PolicyReload, Revision: now}
	switch {
	case err != nil:
		e.Error = err.Error()
		each(err, func(reason string) { g.log.Error("fault", "reason", reason) })
		g.log.Error("the policy's directory has changed and does not load; the policy stays as it was", "revision", now)
	case was == now:
		return // other times, the same content
	default:
		g.proxy.Apply(g.settings(g.config))
		g.log.Info("the policy's directory has changed; the new policy is in force", "revision", now, "before", was)
	}
	g.record.Note(e)
}

// tryReload reads everything before it applies anything. It returns the keys of the configuration that have new values, or every
// fault.
func (g *gate) tryReload() (changed []string, err error) {
	c, err := config.Load(g.path)
	if err != nil {
		return nil, err
	}
	changed = config.Changed(g.config, c)
	var faults []error
	for _, key := range changed {
		if !config.Reloadable(key) {
			faults = append(faults, c.At(key, errors.New("a reload cannot change it; restart the gate for it")))
		}
	}
	_, was := g.config.ChallengeListen()
	if path, is := c.ChallengeListen(); was != is {
		faults = append(faults, c.At(cmp.Or(path, "certs.acme"), errors.New("a reload cannot open another socket for the authority; restart the gate for it")))
	}
	material, err := g.certs.Prepare(c.Certs)
	if err != nil {
		faults = append(faults, placed(c, err))
	} else {
		faults = append(faults, covered(c, material.Covers))
	}
	inner, err := openInner(c, g.log)
	if err != nil {
		faults = append(faults, err)
	}
	// The policy's reload is the last that can fail. When something else has failed before, its faults are asked for alone.
	if err := errors.Join(faults...); err != nil {
		c.Policy.Supplies = g.policy.Supplies()
		_, more := policy.New(c.Policy, c.PolicyData())
		return nil, errors.Join(err, more)
	}
	if err := g.policy.ReloadAs(c.Policy.Mode, c.PolicyData()); err != nil {
		return nil, err
	}
	material.Apply()
	g.peers.Configure(c.Ratchet)
	g.inner = inner
	g.proxy.Apply(g.settings(c))
	setLevel(c.Log, g.level)
	g.config = c
	return changed, nil
}

// each gives the lines of an error, which are one fault each.
func each(err error, yield func(line string)) {
	if err == nil {
		return
	}
	for line := range strings.SplitSeq(fmt.Sprint(err), "\n") {
		yield(line)
	}
}
