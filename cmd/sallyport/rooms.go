package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"sallyport/certs"
	"sallyport/dialback"
	"sallyport/internal/config"
	"sallyport/internal/resolve"
	"sallyport/policy"
)

// rooms are the parts of a gate that are made of files, before anything is opened or written.
type rooms struct {
	certs    *certs.Manager
	policy   *policy.Engine
	resolver *resolve.Resolver
}

// load makes the rooms, the policy as pc has it unless that is at fault. Its error has every fault of all of them, one a line, each with the
// place that is to be mended.
func load(c *config.Config, pc policy.Config, fault error) (r rooms, err error) {
	faults := []error{fault}
	if r.certs, err = certs.New(c.Certs); err != nil {
		faults = append(faults, placed(c, err))
	} else {
		faults = append(faults, covered(c, r.certs.Covers))
	}
	if fault == nil {
		if r.policy, err = policy.New(pc, c.PolicyData()); err != nil {
			faults = append(faults, err)
		}
	}
	if r.resolver, err = resolve.New(c.Resolver()); err != nil {
		faults = append(faults, err)
	} else {
		r.resolver.Shun(c.BackendSockets())
	}
	faults = append(faults, secretFault(c))
	return r, errors.Join(faults...)
}

// poshSource is where peers' POSH documents come from; nil if nobody is to be asked.
func (r rooms) poshSource(c *config.Config) *certs.POSHSource {
	if !c.Outside.POSH {
		return nil
	}
	return &certs.POSHSource{Client: r.resolver.HTTP(resolve.Fetching{Roots: r.certs.Verifier().Roots(), Redirects: 1})}
}

// revocations is where lists of revoked certificates come from. They are signed, and most authorities offer them in clear.
func (r rooms) revocations(log *slog.Logger, changed func()) *certs.Revocations {
	return &certs.Revocations{Client: r.resolver.HTTP(resolve.Fetching{InClear: true, Redirects: 1, Bytes: 8 << 20}), Log: log, Changed: changed}
}

// placed puts the line of the configuration that names a certificate file before each fault of the file.
func placed(c *config.Config, err error) error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var faults []error
		for _, err := range all.Unwrap() {
			faults = append(faults, placed(c, err))
		}
		return errors.Join(faults...)
	}
	var f *certs.Fault
	if !errors.As(err, &f) {
		return err
	}
	for i, file := range c.Certs.Files {
		switch f.File {
		case file.Cert:
			return c.At(fmt.Sprintf("certs.files[%d].cert", i), err)
		case file.Key:
			return c.At(fmt.Sprintf("certs.files[%d].key", i), err)
		}
	}
	for path, file := range c.ACMEFiles() {
		if f.File == file {
			return c.At(path, err)
		}
	}
	for i, file := range c.Certs.Roots {
		if f.File == file {
			return c.At(fmt.Sprintf("certs.roots[%d]", i), err)
		}
	}
	return err
}

// covered holds each local domain to having a certificate. One that is out of its dates is no reason to stay down, for peers that go by
// dialback do not look at dates: outOfDate finds it. Nor is one that the gate is still to obtain.
func covered(c *config.Config, covers func(domain string) error) error {
	return eachDomain(c, func(domain string) error {
		if err := covers(domain); !errors.Is(err, certs.ErrNotInDate) && !errors.Is(err, certs.ErrPending) {
			return err
		}
		return nil
	})
}

func outOfDate(c *config.Config, covers func(domain string) error) error {
	return eachDomain(c, func(domain string) error {
		if err := covers(domain); errors.Is(err, certs.ErrNotInDate) {
			return err
		}
		return nil
	})
}

// pending are the domains for which a certificate is still to be obtained.
func pending(c *config.Config, covers func(domain string) error) error {
	return eachDomain(c, func(domain string) error {
		if err := covers(domain); errors.Is(err, certs.ErrPending) {
			return err
		}
		return nil
	})
}

// eachDomain gathers the faults of local domains, each with the line at which the domain stands.
func eachDomain(c *config.Config, fault func(domain string) error) error {
	var faults []error
	for i, b := range c.Backends {
		for j, d := range b.Domains {
			if err := fault(d.ASCII()); err != nil {
				faults = append(faults, c.At(fmt.Sprintf("backends[%d].domains[%d]", i, j), err))
			}
		}
	}
	return errors.Join(faults...)
}

// secretFault looks at the dialback secret if there is one; the first start makes it.
func secretFault(c *config.Config) error {
	path := c.Dialback.SecretFile
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := dialback.LoadOrCreate(path); err != nil {
		return c.At("dialback.secret_file", err)
	}
	return nil
}
