package jid

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// Reasons for refusing a localpart or resourcepart, found by errors.Is in what Parse returns.
var (
	ErrBadLocal    = errors.New("localpart is not allowed")
	ErrBadResource = errors.New("resourcepart is not allowed")
)

// JID is an address in canonical form: what Parse returned, or parts taken from such a JID. Equal JIDs are the same address.
type JID struct {
	Local    string
	Domain   Domain
	Resource string
}

// Parse reads an address (RFC 7622 §3.1). The first slash starts the resourcepart, the first at-sign before it ends the localpart,
// and a part that is announced must not be empty. Its errors wrap ErrBadLocal, ErrBadResource or those of ParseDomain.
func Parse(s string) (JID, error) {
	var j JID
	rest, resource, hasResource := strings.Cut(s, "/")
	local, domain, hasLocal := strings.Cut(rest, "@")
	if !hasLocal {
		local, domain = "", rest
	}
	var err error
	if j.Domain, err = ParseDomain(domain); err != nil {
		return JID{}, err
	}
	if hasLocal {
		if j.Local, err = canonicalLocal(local); err != nil {
			return JID{}, err
		}
	}
	if hasResource {
		if j.Resource, err = canonicalResource(resource); err != nil {
			return JID{}, err
		}
	}
	return j, nil
}

// String returns the address as it is written on the wire.
func (j JID) String() string {
	s := j.Domain.String()
	if j.Local != "" {
		s = j.Local + "@" + s
	}
	if j.Resource != "" {
		s += "/" + j.Resource
	}
	return s
}

// Bare returns j without its resourcepart.
func (j JID) Bare() JID {
	j.Resource = ""
	return j
}

// canonicalLocal applies the UsernameCaseMapped profile (RFC 7622 §3.3.1), then refuses the characters that RFC 7622 §3.3.1
// excludes on top of it: after the mapping, which could have made one of them.
func canonicalLocal(s string) (string, error) {
	s, err := enforce(precis.UsernameCaseMapped, s)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadLocal, err)
	}
	if i := strings.IndexAny(s, `"&'/:<>@`); i >= 0 {
		return "", fmt.Errorf("%w: excluded character %q", ErrBadLocal, s[i])
	}
	return s, nil
}

// canonicalResource applies the OpaqueString profile (RFC 7622 §3.4.1).
func canonicalResource(s string) (string, error) {
	s, err := enforce(precis.OpaqueString, s)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadResource, err)
	}
	return s, nil
}

// maxSpelled is the longest spelling of a part that is looked at. The bound of RFC 7622 holds behind the mapping, which turns three bytes
// into one where a letter is full-width, or composes what came decomposed.
const maxSpelled = 4 * maxPart

// enforce applies a profile and insists that applying it again changes nothing (RFC 8264 §7): a string without a stable form would
// compare differently on the next server.
func enforce(profile *precis.Profile, s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("empty")
	case len(s) > maxSpelled:
		return "", errors.New("too long")
	case !utf8.ValidString(s):
		return "", errors.New("not UTF-8")
	}
	once, err := profile.String(s)
	if err != nil {
		return "", err
	}
	if twice, err := profile.String(once); err != nil || twice != once {
		return "", errors.New("no stable form")
	}
	if len(once) > maxPart {
		return "", errors.New("too long")
	}
	return once, nil
}
