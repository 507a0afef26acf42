package directory

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"github.com/go-ldap/ldap/v3"

	"sallyport/policy"
)

// Config says which directory is asked, and what it means. Zero values stand for the defaults.
type Config struct {
	URL         string        `yaml:"url" doc:"the server, as ldaps://host, or as ldap://host for StartTLS, which is then required; with :port where it is another than usual"`
	Roots       string        `yaml:"roots" doc:"PEM file with the trust anchors for the server; left out: the system's"`
	BindDN      string        `yaml:"bind_dn" doc:"who asks, such as cn=gate,ou=services,dc=corp,dc=example; left out: nobody in particular"`
	SecretFile  string        `yaml:"secret_file" doc:"file with the password of bind_dn; read anew each time"`
	Base        string        `yaml:"base" doc:"where people are, such as ou=people,dc=corp,dc=example, with all below it"`
	Filter      string        `yaml:"filter" default:"(mail=*)" doc:"which entries there are people"`
	Address     string        `yaml:"address" default:"mail" doc:"attribute with a person's address in XMPP; of several values each counts, and people without one are passed over"`
	Domain      string        `yaml:"domain" doc:"what to put behind an @ where address holds the local part alone, such as uid; left out: it holds whole addresses"`
	GroupBase   string        `yaml:"group_base" doc:"where groups are; left out: base"`
	GroupFilter string        `yaml:"group_filter" default:"(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=group))" doc:"which entries there are groups"`
	GroupName   string        `yaml:"group_name" default:"cn" doc:"attribute with the name that policy knows a group by"`
	Member      []string      `yaml:"member" default:"[member, uniqueMember]" doc:"attributes of a group with the names of those in it, who may be groups themselves"`
	MemberOf    string        `yaml:"member_of" doc:"attribute of a person or group with the names of the groups that it is in, such as memberOf; left out: groups say who is in them"`
	File        string        `yaml:"file" default:"/var/lib/sallyport/groups.json" doc:"where the groups in force are kept, to start with when the server is down"`
	Poll        time.Duration `yaml:"poll" default:"15m" doc:"how often the server is asked"`
	Timeout     time.Duration `yaml:"timeout" default:"2m" doc:"the longest that one round of questions may take"`
	Entries     int           `yaml:"entries" default:"250000" doc:"the most people and groups together that are taken"`
	Bytes       int64         `yaml:"bytes" default:"256MiB" doc:"the most that is read from the server in one round"`
	Shrink      int           `yaml:"shrink" default:"20" doc:"a state in which more than so many per cent of all memberships are gone, or of those of one group of ten or more, is not taken until somebody accepts it; the log says how"`
	Stale       time.Duration `yaml:"stale" default:"24h" doc:"told when the server has not answered for so long"`
}

func (c Config) withDefaults() Config {
	fill(&c.Filter, "(mail=*)")
	fill(&c.Address, "mail")
	fill(&c.GroupBase, c.Base)
	fill(&c.GroupFilter, "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=group))")
	fill(&c.GroupName, "cn")
	fill(&c.Poll, 15*time.Minute)
	fill(&c.Timeout, 2*time.Minute)
	fill(&c.Entries, 250000)
	fill(&c.Bytes, 256<<20)
	fill(&c.Shrink, 20)
	fill(&c.Stale, 24*time.Hour)
	if c.Member == nil && c.MemberOf == "" {
		c.Member = []string{"member", "uniqueMember"}
	}
	return c
}

func fill[T comparable](value *T, none T) {
	if *value == *new(T) {
		*value = none
	}
}

// New makes the feed of a directory. The error names the key of Config that is at fault.
func New(c Config) (*policy.Feed, error) {
	c = c.withDefaults()
	d := &directory{config: c}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "ldaps" && u.Scheme != "ldap" || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return nil, fmt.Errorf("url: %q must be ldaps://host or ldap://host", c.URL)
	}
	d.direct = u.Scheme == "ldaps"
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: ldap.DefaultLdapsPort, false: ldap.DefaultLdapPort}[d.direct]
	}
	d.address, d.tls = net.JoinHostPort(u.Hostname(), port), &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	if c.Roots != "" {
		text, err := os.ReadFile(c.Roots)
		d.tls.RootCAs = x509.NewCertPool()
		if err == nil && !d.tls.RootCAs.AppendCertsFromPEM(text) {
			err = fmt.Errorf("%s holds no certificate", c.Roots)
		}
		if err != nil {
			return nil, fmt.Errorf("roots: %w", err)
		}
	}
	var faults []error
	for _, name := range []struct{ key, dn string }{{"bind_dn", c.BindDN}, {"base", c.Base}, {"group_base", c.GroupBase}} {
		if _, err := ldap.ParseDN(name.dn); err != nil {
			faults = append(faults, fmt.Errorf("%s: %q is no distinguished name", name.key, name.dn))
		}
	}
	for _, search := range []struct{ key, filter string }{{"filter", c.Filter}, {"group_filter", c.GroupFilter}} {
		if _, err := ldap.CompileFilter(search.filter); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", search.key, err))
		}
	}
	if (c.BindDN == "") != (c.SecretFile == "") {
		faults = append(faults, errors.New("bind_dn: it goes with secret_file, and neither without the other"))
	}
	if c.Shrink < 1 || c.Shrink > 100 {
		faults = append(faults, fmt.Errorf("shrink: %d is no share; 1 to 100 per cent", c.Shrink))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return &policy.Feed{Origin: "directory", Source: d, File: c.File, Every: c.Poll, Timeout: c.Timeout, Stale: c.Stale}, nil
}
