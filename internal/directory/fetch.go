package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/go-ldap/ldap/v3"

	"sallyport/policy"
)

// directory is a source of groups.
type directory struct {
	config  Config
	address string
	direct  bool // TLS from the first byte
	tls     *tls.Config
}

// Fetch asks for all people and groups, and gives the document. A directory has no tags.
func (d *directory) Fetch(ctx context.Context, _ string) (text []byte, now string, err error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.address)
	if err != nil {
		return nil, "", err
	}
	defer raw.Close()
	end := context.AfterFunc(ctx, func() { raw.Close() })
	defer end()
	conn := &bounded{Conn: raw}
	// What comes before TLS is anybody's.
	conn.left.Store(handshakeBytes)
	c, err := d.secured(ctx, conn)
	if err != nil {
		return nil, "", why(ctx, conn, fmt.Errorf("asking %s: %w", d.address, err))
	}
	defer c.Close()
	conn.left.Store(d.config.Bytes)
	t, err := d.read(c)
	if err != nil {
		return nil, "", why(ctx, conn, err)
	}
	text, err = t.document()
	return text, "", err
}

// Open takes what Fetch gave for a supply, unless it is suspiciously little.
func (d *directory) Open(text []byte, now *policy.Supply) (policy.Supply, error) {
	if was := inForce(now); was != nil {
		if err := d.shrunk(was, text); err != nil {
			return policy.Supply{}, err
		}
	}
	return policy.Supply{Origin: "directory", Files: []policy.File{{Name: "groups.json", Text: text}}}, nil
}

// secured speaks TLS with the server, who has to be the one that the URL names.
func (d *directory) secured(ctx context.Context, conn net.Conn) (*ldap.Conn, error) {
	if d.direct {
		secure := tls.Client(conn, d.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		c := ldap.NewConn(secure, true)
		c.Start()
		return c, nil
	}
	c := ldap.NewConn(conn, false)
	c.Start()
	if err := c.StartTLS(d.tls); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// read binds and asks.
func (d *directory) read(c *ldap.Conn) (*tree, error) {
	if d.config.BindDN != "" {
		secret, err := os.ReadFile(d.config.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("secret_file: %w", err)
		}
		password := strings.TrimRight(string(secret), "\r\n")
		if password == "" { // which would be no authentication, and succeed (RFC 4513 §5.1.2)
			return nil, fmt.Errorf("secret_file: %s is empty", d.config.SecretFile)
		}
		if err := c.Bind(d.config.BindDN, password); ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
			return nil, fmt.Errorf("the server does not take bind_dn with what stands in secret_file: %w", err)
		} else if err != nil {
			return nil, fmt.Errorf("binding: %w", err)
		}
	}
	t := newTree(&d.config)
	people := attributes(d.config.Address, d.config.MemberOf)
	if err := d.search(c, d.config.Base, d.config.Filter, people, t.person); err != nil {
		return nil, fmt.Errorf("asking for people: %w", err)
	}
	if len(t.people) == 0 {
		return nil, errors.New("the directory shows no people; may bind_dn read them?")
	}
	if err := d.search(c, d.config.GroupBase, d.config.GroupFilter, attributes(append([]string{d.config.GroupName, d.config.MemberOf}, d.config.Member...)...), t.group); err != nil {
		return nil, fmt.Errorf("asking for groups: %w", err)
	}
	if len(t.names) == 0 {
		return nil, errors.New("the directory shows no groups; may bind_dn read them?")
	}
	return t, nil
}

// pageSize is how many entries are asked for at a time (RFC 2696): servers commonly give a thousand at the most.
const pageSize = 500

// search asks page by page.
func (d *directory) search(c *ldap.Conn, base, filter string, attributes []string, yield func(*ldap.Entry) error) error {
	paging := ldap.NewControlPaging(pageSize)
	pages := d.config.Entries/pageSize + 2 // a server need not fill a page, and must not give empty ones for ever
	for range pages * 2 {
		r, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, []ldap.Control{paging}))
		if err != nil {
			return err
		}
		for _, e := range r.Entries {
			if err := yield(e); err != nil {
				return err
			}
		}
		next, _ := ldap.FindControl(r.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if next == nil || len(next.Cookie) == 0 {
			return nil
		}
		paging.SetCookie(next.Cookie)
	}
	return errors.New("the server gives page after page, and little on them")
}

// attributes are those that are to be asked for.
func attributes(names ...string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == "" })
}

// handshakeBytes is more than any server needs to say before TLS stands.
const handshakeBytes = 256 << 10

// errTooMuch says that a server has said more than it may.
var errTooMuch = errors.New("the server says more than directory.bytes allows")

// bounded is a connection of which no more than left is read.
type bounded struct {
	net.Conn
	left atomic.Int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left.Load() <= 0 {
		return 0, errTooMuch
	}
	n, err := b.Conn.Read(p)
	b.left.Add(-int64(n))
	return n, err
}

// why tells what ended a connection that our own bounds ended; the library has words of its own for it.
func why(ctx context.Context, conn *bounded, err error) error {
	if conn.left.Load() <= 0 {
		return errTooMuch
	}
	if ctx.Err() != nil {
		return fmt.Errorf("the server has not answered within directory.timeout: %w", ctx.Err())
	}
	return err
}
