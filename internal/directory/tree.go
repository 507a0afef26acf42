package directory

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"sallyport/internal/jid"
)

// tree is what a directory says of people and groups. Entries go by their distinguished names, in one spelling.
type tree struct {
	config  *Config
	people  map[string][]string // addresses
	names   map[string]string   // of groups, as policy knows them
	taken   map[string]string   // names that have a group
	members map[string][]string // of a group: people and groups
	entries int
}

func newTree(c *Config) *tree {
	return &tree{config: c, people: map[string][]string{}, names: map[string]string{}, taken: map[string]string{}, members: map[string][]string{}}
}

// key is a distinguished name in one spelling. Attribute values that differ in case alone are taken for one, as nearly every directory
// does (RFC 4517 §4.2.11).
func key(dn string) (string, error) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return "", fmt.Errorf("%q is no distinguished name: %w", dn, err)
	}
	return strings.ToLower(parsed.String()), nil
}

func (t *tree) person(e *ldap.Entry) error {
	k, err := t.enter(e)
	if err != nil {
		return err
	}
	t.people[k] = nil
	for _, value := range e.GetEqualFoldAttributeValues(t.config.Address) {
		if bare := t.address(value); bare != "" {
			t.people[k] = append(t.people[k], bare)
		}
	}
	return nil
}

// address is what a value of the address attribute stands for; empty where it is no address of a person.
func (t *tree) address(value string) string {
	if t.config.Domain != "" {
		if strings.ContainsAny(value, "@/") {
			return ""
		}
		value += "@" + t.config.Domain
	}
	j, err := jid.Parse(value)
	if err != nil || j.Local == "" {
		return ""
	}
	return j.Bare().String()
}

func (t *tree) group(e *ldap.Entry) error {
	k, err := t.enter(e)
	if err != nil {
		return err
	}
	name := e.GetEqualFoldAttributeValue(t.config.GroupName)
	if name == "" {
		return nil
	}
	if other, twice := t.taken[name]; twice && other != k {
		return fmt.Errorf("two groups are called %q: %s and %s; ask for one of them with group_base or group_filter", name, other, k)
	}
	t.taken[name], t.names[k] = k, name
	for _, a := range e.Attributes {
		// Some servers give a part of a long list, and say so in this way.
		if base, _, cut := strings.Cut(a.Name, ";range="); cut {
			return fmt.Errorf("the server gives %s of %s in parts; take member_of: memberOf and member: []", base, e.DN)
		}
	}
	for _, attribute := range t.config.Member {
		for _, dn := range e.GetEqualFoldAttributeValues(attribute) {
			member, err := key(dn)
			if err != nil {
				return fmt.Errorf("%s: %w", e.DN, err)
			}
			t.members[k] = append(t.members[k], member)
		}
	}
	return nil
}

// enter counts an entry, and notes the groups that it says it is in.
func (t *tree) enter(e *ldap.Entry) (string, error) {
	if t.entries++; t.entries > t.config.Entries {
		return "", fmt.Errorf("the directory has more than directory.entries, %d, people and groups", t.config.Entries)
	}
	k, err := key(e.DN)
	if err != nil || t.config.MemberOf == "" {
		return k, err
	}
	for _, dn := range e.GetEqualFoldAttributeValues(t.config.MemberOf) {
		group, err := key(dn)
		if err != nil {
			return "", fmt.Errorf("%s: %w", e.DN, err)
		}
		t.members[group] = append(t.members[group], k)
	}
	return k, nil
}

// document is data for policy: each group with everybody who is in it, or in a group in it, and so on.
func (t *tree) document() ([]byte, error) {
	groups := make(map[string]map[string]struct{}, len(t.names))
	for k, name := range t.names {
		all := map[string]struct{}{}
		t.gather(k, all, map[string]bool{})
		groups[name] = all
	}
	return json.Marshal(map[string]any{"groups": groups})
}

// gather adds the addresses of a group's members. Groups that hold each other are looked into once.
func (t *tree) gather(k string, all map[string]struct{}, seen map[string]bool) {
	if seen[k] {
		return
	}
	seen[k] = true
	for _, bare := range t.people[k] {
		all[bare] = struct{}{}
	}
	for _, member := range t.members[k] {
		t.gather(member, all, seen)
	}
}
