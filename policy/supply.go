package policy

import (
	"slices"
)

// Supply is rules and data that come from elsewhere than [Config].Dir: people and groups out of a directory, a signed bundle. Its files
// take part in a revision as those of the operator do.
type Supply struct {
	Origin  string // where it comes from; stands before the names of its files in faults
	Version string // what its maker calls this state; becomes a part of the revision's name. Empty: nothing
	Files   []File
}

// File is one file of a supply. Its name says what it holds, as in the operator's directory.
type File struct {
	Name string
	Text []byte
}

// Use puts a supply in force with all else that decides, in place of what the same origin gave before. On an error, which holds all
// [Faults], nothing has changed.
func (e *Engine) Use(s Supply) error {
	e.loading.Lock()
	defer e.loading.Unlock()
	c := e.config
	c.Supplies = with(c.Supplies, s)
	return e.load(c, e.base)
}

// Supplies are those in force.
func (e *Engine) Supplies() []Supply {
	e.loading.Lock()
	defer e.loading.Unlock()
	return slices.Clone(e.config.Supplies)
}

// with gives the supplies with one of them new, or one more.
func with(all []Supply, s Supply) []Supply {
	all = slices.Clone(all)
	for i := range all {
		if all[i].Origin == s.Origin {
			all[i] = s
			return all
		}
	}
	return append(all, s)
}

// supply adds the files of supplies to those that were read.
func (all *sources) supply(supplies []Supply) {
	for _, s := range supplies {
		if s.Version != "" {
			all.versions = append(all.versions, s.Version)
		}
		for _, f := range s.Files {
			place(source{f.Name, s.Origin + ":" + f.Name, f.Text}, &all.rego, &all.regoTests, &all.data)
		}
	}
}
