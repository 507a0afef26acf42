package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/crypto/acme"
)

// orderTime bounds one attempt at one certificate, the wait for name servers not counted.
const orderTime = 5 * time.Minute

// proofOfControl is one challenge that was taken up: what the authority wants to see for a domain.
type proofOfControl struct {
	domain        string
	token         string
	authorization string // its URL
	challenge     *acme.Challenge
}

// solver shows the authority what it wants to see. What cleanup takes away again may be there in part when there is an error.
type solver interface {
	present(ctx context.Context, c *client, proofs []proofOfControl) (cleanup func(), err error)
}

// obtain gets one certificate, from the account to the file in its place. It is not in use yet.
func (a *issuer) obtain(ctx context.Context, names wanted, c *client, s solver) (*pair, error) {
	var options []acme.OrderOption
	if a.config.Profile != "" {
		options = append(options, acme.WithOrderIssuanceProfile(acme.ProfileName(a.config.Profile)))
	}
	order, err := c.AuthorizeOrder(ctx, acme.DomainIDs(names...), options...)
	if err != nil {
		return nil, fmt.Errorf("ordering: %w", spoken(err))
	}
	if order.Status == acme.StatusPending {
		if err := a.authorize(ctx, order, names, c, s); err != nil {
			return nil, err
		}
		if order, err = c.WaitOrder(ctx, order.URI); err != nil {
			return nil, fmt.Errorf("waiting for the order: %w", spoken(err))
		}
	}
	if order.Status != acme.StatusReady {
		return nil, fmt.Errorf("ordering: the order is %q from its beginning", printable(order.Status))
	}
	key, err := a.keyFor(names[0])
	if err != nil {
		return nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{}, DNSNames: names}, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := c.CreateCertFromOrder(ctx, order, request, true)
	if err != nil {
		return nil, fmt.Errorf("fetching the certificate: %w", spoken(err))
	}
	return a.take(ctx, names, key, chain)
}

// keyFor is the private key of the next certificate of that name.
func (a *issuer) keyFor(name string) (*ecdsa.PrivateKey, error) {
	if a.config.ReuseKey {
		if p, err := a.store.load(name); err == nil && p != nil {
			if key, ok := p.cert.PrivateKey.(*ecdsa.PrivateKey); ok {
				return key, nil
			}
		}
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// take stages a certificate, proves it and puts it in its place.
func (a *issuer) take(ctx context.Context, names wanted, key *ecdsa.PrivateKey, chain [][]byte) (*pair, error) {
	name := names[0]
	data, err := encodePair(key, chain)
	if err != nil {
		return nil, err
	}
	if err := a.store.keep(ctx, name+staged, data); err != nil {
		return nil, a.store.fault("the new certificate cannot be stored", err)
	}
	p, err := a.store.prove(name, names, a.clock())
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate is of no use: %w", errors.Join(err, a.store.Delete(ctx, name+staged)))
	}
	if err := a.store.replace(name); err != nil {
		return nil, a.store.fault("the new certificate cannot be put in its place", err)
	}
	return p, nil
}

// authorize shows the authority, for each name that it does not know to be ours, that it is.
func (a *issuer) authorize(ctx context.Context, order *acme.Order, names wanted, c *client, s solver) error {
	if len(order.AuthzURLs) > len(names) {
		return fmt.Errorf("the authority wants %d proofs for %d names", len(order.AuthzURLs), len(names))
	}
	var proofs []proofOfControl
	for _, url := range order.AuthzURLs {
		proof, err := a.takeUp(ctx, url, names, c)
		if err != nil {
			return err
		}
		if proof.challenge != nil {
			proofs = append(proofs, proof)
		}
	}
	if len(proofs) == 0 {
		return nil
	}
	open := proofs
	defer func() { relinquish(ctx, c, open) }()
	cleanup, err := s.present(ctx, c, proofs)
	defer cleanup()
	if err != nil {
		return err
	}
	for _, p := range proofs {
		if _, err := c.Accept(ctx, p.challenge); err != nil {
			return fmt.Errorf("taking up the challenge for %s: %w", p.domain, spoken(err))
		}
	}
	for _, p := range proofs {
		if _, err := c.WaitAuthorization(ctx, p.authorization); err != nil {
			return fmt.Errorf("showing that %s is ours by %s: %w; %s", p.domain, a.config.challenge(), spoken(err), a.config.reach(p.domain))
		}
		open = open[1:]
	}
	return nil
}

// takeUp picks our kind of challenge from an authorization; none where the authority needs no further proof.
func (a *issuer) takeUp(ctx context.Context, url string, names wanted, c *client) (proofOfControl, error) {
	z, err := c.GetAuthorization(ctx, url)
	if err != nil {
		return proofOfControl{}, fmt.Errorf("asking what has to be shown: %w", spoken(err))
	}
	domain := strings.ToLower(z.Identifier.Value)
	switch {
	case !slices.Contains(names, domain) || z.Wildcard:
		return proofOfControl{}, fmt.Errorf("the authority wants a proof for %q, which was not asked for", printable(domain))
	case z.Status == acme.StatusValid:
		return proofOfControl{}, nil
	case z.Status != acme.StatusPending:
		return proofOfControl{}, fmt.Errorf("the authority's question about %s is %q from its beginning", domain, printable(z.Status))
	}
	var offered []string
	for _, challenge := range z.Challenges {
		if challenge.Type != a.config.challenge() {
			offered = append(offered, printable(challenge.Type))
			continue
		}
		if !isToken(challenge.Token) {
			return proofOfControl{}, fmt.Errorf("the authority's token for %s is malformed", domain)
		}
		return proofOfControl{domain: domain, token: challenge.Token, authorization: url, challenge: challenge}, nil
	}
	return proofOfControl{}, fmt.Errorf("the authority does not take %s for %s, only %s; set certs.acme.challenge",
		a.config.challenge(), domain, strings.Join(offered[:min(len(offered), 5)], ", "))
}

// isToken: RFC 8555 §8.3, base64url without padding.
func isToken(token string) bool {
	return token != "" && len(token) <= 256 && strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// relinquish gives questions back that were not answered, because authorities limit how many may be open. The gate's end is not held up
// for it.
func relinquish(ctx context.Context, c *client, open []proofOfControl) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, p := range open {
		if z, err := c.GetAuthorization(ctx, p.authorization); err == nil && z.Status == acme.StatusPending {
			_ = c.RevokeAuthorization(ctx, p.authorization) // a courtesy: it ends by itself in some days
		}
	}
}

// spoken puts what an authority said into one line.
func spoken(err error) error {
	var refused *acme.AuthorizationError
	if errors.As(err, &refused) {
		var all []string
		for _, each := range refused.Errors {
			if text := spoken(each).Error(); !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
		if len(all) == 0 {
			all = append(all, "it refused without a reason")
		}
		return &said{text: strings.Join(all, "; "), err: err}
	}
	var problem *acme.Error
	if !errors.As(err, &problem) {
		return err
	}
	kind := problem.ProblemType[strings.LastIndexByte(problem.ProblemType, ':')+1:]
	text := fmt.Sprintf("the authority says: %s (%s)", printable(strings.Join(strings.Fields(problem.Detail), " ")), printable(kind))
	for i, sub := range problem.Subproblems {
		if i == 5 {
			text += fmt.Sprintf("; and %d more", len(problem.Subproblems)-i)
			break
		}
		if sub.Identifier != nil {
			text += "; " + printable(sub.Identifier.Value) + ":"
		}
		text += " " + printable(strings.Join(strings.Fields(sub.Detail), " "))
	}
	if advice := adviceFor(kind); advice != "" {
		text += "; " + advice
	}
	return &said{text: text, err: err}
}

// line is an error in one line that may stand in a log and is not endless.
func line(err error) string {
	const longest = 1000
	var b strings.Builder
	count := 0
	for _, r := range strings.Join(strings.Fields(err.Error()), " ") {
		if count++; count > longest {
			b.WriteString("…")
			break
		}
		if !isGraphic(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}

// said is an authority's error in one line.
type said struct {
	text string
	err  error
}

// Error implements error.
func (s *said) Error() string { return s.text }

// Unwrap returns what the acme package made of it.
func (s *said) Unwrap() error { return s.err }

// adviceFor says what to do about a kind of problem (RFC 8555 §6.7).
func adviceFor(kind string) string {
	switch kind {
	case "caa":
		return "allow the authority in the domain's CAA records"
	case "externalAccountRequired":
		return "get an account from the authority and name it in certs.acme.eab"
	case "rateLimited":
		return "nothing to do but wait"
	case "rejectedIdentifier":
		return "the authority gives no certificate for this name; list one of another authority in certs.files"
	case "userActionRequired":
		return "the authority's terms have changed; read them at its web site"
	case "invalidContact", "unsupportedContact":
		return "correct certs.acme.email"
	}
	return ""
}
