package config

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/config/document"
)

const preface = `# Configuration

One YAML file: sallyport.yaml in the current folder, or what "-c" names. Unknown keys are faults. All faults are told at once, each
with its line, by "sallyport check" and at start; at a reload they leave the running configuration as it is.

A reload takes new values of RELOADABLE (but not of limits.pending). All other keys stand until the gate is started again.

Relative paths are taken from the folder of the file. Durations have a unit (30s, 5m, 24h), sizes may have one (512KiB, 64MiB).
Anchors, aliases and several documents are not accepted.

This page is written from the program by "make docs".

## A complete file

Every key, with its default, or with an example where it has none. What is commented out has no default and is for those who
need it.

`

// Reference is docs/reference/configuration.md, written from the tags of the structs.
func Reference() string {
	var b strings.Builder
	b.WriteString(strings.Replace(preface, "RELOADABLE", strings.Join(reloadable(), ", "), 1))
	b.WriteString("```yaml\n" + Example() + "```\n")
	describe(&b, reflect.TypeFor[Config](), "", "The keys of the first level")
	return b.String()
}

// describe writes a table of a section's keys, then the sections within it. A list of sections is written "path[]", a table of them
// "path.KEY".
func describe(b *strings.Builder, t reflect.Type, path, doc string) {
	title := "`" + path + "`"
	if path == "" {
		title = "First level"
	}
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n| key | value | default | meaning |\n|---|---|---|---|\n", title, markdown(sentence(doc)))
	for _, f := range document.Fields(t) {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.Key, markdown(value(f)), defaultOf(f, document.Step(path, f.Key)), markdown(f.Doc))
	}
	for _, f := range document.Fields(t) {
		at, inner := document.Step(path, f.Key), f.Type
		switch document.KindOf(f.Type) {
		case document.List:
			at, inner = at+"[]", f.Type.Elem()
		case document.Table:
			at, inner = at+".KEY", f.Type.Elem()
		}
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct && document.KindOf(inner) == document.Section {
			describe(b, inner, at, f.Doc)
		}
	}
}

// value says what a key takes.
func value(f document.Field) string {
	if len(f.Words) > 0 {
		return strings.Join(f.Words, ", ")
	}
	return nouns().Of(f.Type).Name
}

func defaultOf(f document.Field, path string) string {
	for _, key := range required() {
		if key.path == path {
			return "**required**"
		}
	}
	switch path {
	case "audit.sinks[].name", "audit.sinks[].type", "audit.sinks[].url", "backends[].address", "backends[].domains", "certs.files[].cert", "certs.acme.directory", "certs.acme.accept_terms", "policy.bundle.url", "policy.bundle.key", "directory.url", "directory.base",
		"certs.acme.eab.kid", "certs.acme.eab.key_file", "certs.acme.dns.server", "certs.acme.dns.tsig.name", "certs.acme.dns.tsig.secret_file":
		return "**required**"
	}
	if f.Default == "" {
		return ""
	}
	return "`" + f.Default + "`"
}

func sentence(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

// markdown escapes what a cell of a table would take for something else.
func markdown(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*.", `\*.`).Replace(s)
}

// Example is a complete configuration that loads: every key, with what it means.
func Example() string {
	var b strings.Builder
	illustrate(&b, reflect.TypeFor[Config](), "", "")
	return b.String()
}

// examples are values for keys that have no default, and whole tables.
func examples() map[string]string {
	return map[string]string{
		"backends[].address":     "127.0.1.1:5269",
		"backends[].from":        "[127.0.1.1]",
		"backends[].domains":     "[corp.example, conference.corp.example]",
		"inside.listen":          "127.0.2.1:5269",
		"inside.dns":             "127.0.2.1:53",
		"outside.listen":         "[192.0.2.1:5269]",
		"outside.direct_tls":     "[]",
		"outside.resolver":       "[127.0.0.53:53]",
		"outside.resolver_roots": `""`,
		"certs.files[].cert":     "corp.pem",
		"certs.files[].key":      "corp.key",
		"certs.posh_listen":      `"[::]:8443"`,
		"certs.roots":            "[]",
		"certs.system_roots":     "true",

		"certs.acme.directory":            "https://acme-v02.api.letsencrypt.org/directory",
		"certs.acme.email":                "admin@corp.example",
		"certs.acme.accept_terms":         "true",
		"certs.acme.profile":              "shortlived",
		"certs.acme.root":                 "private-authority.pem",
		"certs.acme.tls_alpn_listen":      `"[::]:443"`,
		"certs.acme.http_listen":          `"[::]:80"`,
		"certs.acme.eab.kid":              "kid-1",
		"certs.acme.eab.key_file":         "eab.key",
		"certs.acme.dns.server":           "192.0.2.53:53",
		"certs.acme.dns.zone":             "acme.corp.example",
		"certs.acme.dns.tsig.name":        "sallyport",
		"certs.acme.dns.tsig.secret_file": "tsig.key",

		"telemetry.metrics": "127.0.0.1:9469",
		"telemetry.otlp":    `""`,
		"policy.dir":        "policy",
		"policy.candidate":  `""`,
		"policy.history":    "audit/policy",
		"audit.node":        "gate-1",

		"audit.checkpoint_to":           "/mnt/elsewhere/gate-1.checkpoints",
		"audit.secrets":                 "/var/lib/sallyport/audit.secrets",
		"audit.sealing.recipients_file": "officers.txt",

		"directory.url":         "ldaps://ldap.corp.example",
		"directory.roots":       "private-authority.pem",
		"directory.bind_dn":     `"cn=gate,ou=services,dc=corp,dc=example"`,
		"directory.secret_file": "directory.secret",
		"directory.base":        `"ou=people,dc=corp,dc=example"`,
		"directory.domain":      `""`,
		"directory.group_base":  `"ou=groups,dc=corp,dc=example"`,
		"directory.member_of":   `""`,

		"audit.sinks[].name":        "archive",
		"audit.sinks[].type":        "postgres",
		"audit.sinks[].url":         "postgres://sallyport@db.corp.example/sallyport",
		"audit.sinks[].secret_file": "/etc/sallyport/db.password",
		"audit.sinks[].roots":       "/etc/sallyport/db-ca.pem",
		"audit.sinks[].cert":        `""`,
		"audit.sinks[].key":         `""`,

		"policy.bundle.url":        "https://policy.corp.example/gate.tar.gz",
		"policy.bundle.key":        "bundle.pub",
		"policy.bundle.algorithm":  "ES256",
		"policy.bundle.scope":      "gate",
		"policy.bundle.roots":      "private-authority.pem",
		"policy.bundle.token_file": "bundle.token",

		"audit.retention": "{default: 2y, legal: 7y}",
		"peers": `
  default: {channel: tls, proof: dialback, tls_min: "1.2"}
  partner.example: {proof: pkix}
  "*.partner.example": {}
  old.example: {channel: plaintext, until: 2027-06-30}
  routed.example: {route: "198.51.100.7:5269", pins: ["sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]}
  rival.example: {deny: true}
`,
	}
}

// illustrate writes the keys of a section as they would stand in the file.
func illustrate(b *strings.Builder, t reflect.Type, path, indent string) {
	given := examples()
	for i, f := range document.Fields(t) {
		at := document.Step(path, f.Key)
		lead, note := indent, indent
		if strings.HasSuffix(path, "[]") && i == 0 { // the first key of a list's entry
			note = strings.TrimSuffix(indent, "  ")
			lead = note + "- "
		}
		if path == "" && i > 0 {
			b.WriteByte('\n')
		}
		if f.Type.Kind() == reflect.Pointer && document.KindOf(f.Type) == document.Section { // what may be left out as a whole
			var inner strings.Builder
			fmt.Fprintf(&inner, "# %s\n%s:\n", f.Doc, f.Key)
			illustrate(&inner, f.Type.Elem(), at, "  ")
			for line := range strings.Lines(inner.String()) {
				fmt.Fprintf(b, "%s# %s", indent, line)
			}
			continue
		}
		fmt.Fprintf(b, "%s# %s\n", note, f.Doc)
		text, ok := given[at]
		switch {
		case ok && strings.HasPrefix(text, "\n"):
			fmt.Fprintf(b, "%s%s:%s", lead, f.Key, text)
		case ok:
			fmt.Fprintf(b, "%s%s: %s\n", lead, f.Key, text)
		case document.KindOf(f.Type) == document.Section && f.Type.Kind() == reflect.Struct:
			fmt.Fprintf(b, "%s%s:\n", lead, f.Key)
			illustrate(b, f.Type, at, indent+"  ")
		case document.KindOf(f.Type) == document.List && document.KindOf(f.Type.Elem()) == document.Section:
			fmt.Fprintf(b, "%s%s:\n", lead, f.Key)
			illustrate(b, f.Type.Elem(), at+"[]", indent+"    ")
		case f.Default != "":
			fmt.Fprintf(b, "%s%s: %s\n", lead, f.Key, f.Default)
		default:
			fmt.Fprintf(b, "%s# %s: %s\n", lead, f.Key, firstExample(f.Type))
		}
	}
}

// firstExample is the first of a noun's examples, written as in the file.
func firstExample(t reflect.Type) string {
	if t.Kind() == reflect.Slice {
		return "[" + firstExample(t.Elem()) + "]"
	}
	example, _, _ := strings.Cut(nouns().Of(t).Example, " or ")
	return example
}
