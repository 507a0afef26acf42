package main

import (
	"path/filepath"

	"sallyport/internal/config"
	"sallyport/policy"
)

// past finds the revisions of the policy that were in force.
type past struct {
	config policy.Config
	loaded map[string]*policy.Snapshot // nil: not kept, or not to be read
}

// pastRevisions bounds how many are held at a time.
const pastRevisions = 16

// newPast looks where the configuration keeps them or, of a record that lies elsewhere, beside that.
func newPast(f *recordFlags) (*past, error) {
	c, err := config.Load(f.path)
	if err != nil {
		return nil, err
	}
	p := &past{config: c.Policy, loaded: make(map[string]*policy.Snapshot)}
	if f.dir != "" {
		p.config.History = filepath.Join(f.dir, "policy")
	}
	return p, nil
}

// get loads a revision.
func (p *past) get(revision string) (*policy.Snapshot, error) {
	return policy.Recall(p.config, revision)
}

// of is the revision that decided; nil when there is none to be had.
func (p *past) of(revision string) *policy.Snapshot {
	s, known := p.loaded[revision]
	if !known {
		if len(p.loaded) == pastRevisions {
			clear(p.loaded)
		}
		s, _ = p.get(revision) // one that cannot be read says as little as one that is not there
		p.loaded[revision] = s
	}
	return s
}
