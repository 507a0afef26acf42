package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/jid"
)

// naming is what a name in the data speaks of.
type naming struct {
	what      string
	canonical func(string) (string, error)
	plain     func(string) bool // at a glance: it is canonical
	wildcards bool              // *.suffix is looked for
	besides   string            // a name of another kind that is looked for as well
}

var (
	anAddress = naming{what: "bare address", canonical: canonicalAddress, plain: plainAddress}
	aDomain   = naming{what: "domain", canonical: canonicalDomain, plain: plainDomain}
	domains   = naming{what: "domain", canonical: canonicalDomain, plain: plainDomain, wildcards: true}
	hosts     = naming{what: "host", canonical: canonicalHost, plain: plainDomain, wildcards: true}
	orDefault = naming{what: "domain", canonical: canonicalDomain, plain: plainDomain, wildcards: true, besides: "default"}
)

// named says where names stand in the documents of base and of the ready-made policies: * is each key there, and what is named are the keys
// of an object or the texts of a list.
var named = []struct {
	path string
	naming
}{
	{"peers", orDefault},
	{"internal.domains", domains}, {"internal.users", anAddress}, {"internal.rooms", anAddress},
	{"groups.*", anAddress},
	{"gateways", aDomain}, {"surface.allow.archive", aDomain},
	{"matrix", aDomain}, {"matrix.*", orDefault},
	{"rights.users", anAddress}, {"rights.users.*", orDefault}, {"rights.groups.*", orDefault},
	{"grants.*.peers", domains}, {"grants.*.users", anAddress},
	{"mark.except", domains}, {"observe.peers", domains}, {"freeze.peers", domains}, {"hours.peers", domains},
	{"urls.hosts", hosts},
}

// misspelt finds names in the data that no address or domain can be equal to, because policy sees these in canonical form (RFC 7622, IDNA,
// XEP-0106). Such a name looks like a rule, and nothing would enforce it.
func misspelt(data map[string]any) (faults Faults) {
	for _, n := range named {
		n.look([]string{"data"}, data, strings.Split(n.path, "."), &faults)
	}
	return faults
}

// look follows a path and checks each name at its end.
func (n naming) look(at []string, value any, path []string, faults *Faults) {
	table, _ := value.(map[string]any)
	list, _ := value.([]any)
	wrong := func(step, name string) {
		if why := n.wrong(name); why != "" {
			*faults = append(*faults, Fault{Text: dotted(at) + step + ": " + why})
		}
	}
	switch {
	case len(path) == 0:
		for name := range table {
			if !n.plain(name) {
				wrong(fmt.Sprintf("[%+q]", name), name)
			}
		}
		for i := range list {
			if name, ok := list[i].(string); ok && !n.plain(name) {
				wrong(fmt.Sprintf("[%d]", i), name)
			}
		}
	case path[0] == "*":
		for key, below := range table {
			n.look(append(slices.Clone(at), key), below, path[1:], faults)
		}
	case table[path[0]] != nil:
		n.look(append(slices.Clone(at), path[0]), table[path[0]], path[1:], faults)
	}
}

// wrong says what a name should be instead; empty for one that is as policy sees it.
func (n naming) wrong(name string) string {
	if name != "" && name == n.besides {
		return ""
	}
	suffix, wild := strings.CutPrefix(name, "*.")
	if wild && !n.wildcards {
		return "stands for no " + n.what + ": wildcards are not looked for here"
	}
	canonical, err := n.canonical(suffix)
	switch {
	case err != nil:
		return fmt.Sprintf("would never match: not a %s: %v", n.what, err)
	case canonical != suffix && wild:
		canonical = "*." + canonical
		fallthrough
	case canonical != suffix:
		return fmt.Sprintf("would never match: as policy sees it this %s is %q", n.what, canonical)
	}
	return ""
}

// plainAddress tells at a glance names that are canonical, for there may be a hundred thousand. Of others it says nothing.
func plainAddress(name string) bool {
	local, domain, ok := strings.Cut(name, "@")
	if !ok {
		return plainDomain(name)
	}
	for i := range len(local) {
		if c := local[i]; !letterOrDigit(c) && c != '.' && c != '-' && c != '_' && c != '+' {
			return false
		}
	}
	return local != "" && len(local) < 1024 && plainDomain(domain)
}

// plainDomain is plainAddress for a domain: labels of lower-case letters, digits and single hyphens, of which the last begins with a letter.
func plainDomain(name string) bool {
	label := 0 // bytes of the present one
	for i := range len(name) {
		c := name[i]
		edge := label == 0 || i+1 == len(name) || name[i+1] == '.'
		switch {
		case letterOrDigit(c):
			label++
		case c == '-' && !edge && name[i-1] != '-':
			label++
		case c == '.' && label > 0:
			label = 0
		default:
			return false
		}
		if label > 63 {
			return false
		}
	}
	return label > 0 && len(name) <= 253 && !digit(name[len(name)-label])
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func letterOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || digit(c) }

func canonicalDomain(name string) (string, error) {
	d, err := jid.ParseDomain(name)
	return d.String(), err
}

// canonicalHost is that of a host in an address of the web, which need not be a domain.
func canonicalHost(name string) (string, error) {
	if strings.Trim(name, ".") == "" || strings.ContainsAny(name, "*@/?# ") {
		return "", errors.New("no host has such a name")
	}
	if d, err := jid.ParseDomain(name); err == nil && !d.IsIP() {
		return d.String(), nil
	}
	return strings.ToLower(name), nil
}

// canonicalAddress is also that of somebody whose name has characters that only XEP-0106 brings into an address.
func canonicalAddress(name string) (string, error) {
	j, err := jid.Parse(name)
	if i := strings.LastIndexByte(name, '@'); err != nil && i > 0 {
		if escaped, wrong := jid.Parse(escape.Replace(name[:i]) + name[i:]); wrong == nil {
			j, err = escaped, nil
		}
	}
	return j.Bare().String(), err
}

// escape is XEP-0106 §4.2.
var escape = strings.NewReplacer(" ", `\20`, `"`, `\22`, "&", `\26`, "'", `\27`, "/", `\2f`, ":", `\3a`, "<", `\3c`, ">", `\3e`, "@", `\40`)
