package main

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"sallyport/certs"
	"sallyport/internal/config"
)

// openInner opens the inner authority, or makes it, when a backend goes by certificates, and leaves each such backend its own; nil when
// none does. It says which files the backend needs.
func openInner(c *config.Config, log *slog.Logger) (*certs.Inner, error) {
	var inner *certs.Inner
	for i, b := range c.Backends {
		if b.TLS != "certificate" {
			continue
		}
		path := fmt.Sprintf("backends[%d].tls", i)
		if inner == nil {
			var err error
			if inner, err = certs.OpenInner(filepath.Join(c.Certs.Store, "inner")); err != nil {
				return nil, c.At(path, err)
			}
		}
		var names []string
		for _, d := range b.Domains {
			names = append(names, d.ASCII())
		}
		cert, key, err := inner.Equip(names)
		if err != nil {
			return nil, c.At(path, err)
		}
		log.Info("a backend goes by certificates", "backend", b.Address, "trusts", inner.RootFile(), "cert", cert, "key", key)
	}
	return inner, nil
}
