package policy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/bundle"
)

// BundleConfig says where a signed bundle comes from. Zero values stand for the defaults.
type BundleConfig struct {
	URL       string        `yaml:"url" doc:"https URL of the bundle, as opa build makes it"`
	Key       string        `yaml:"key" doc:"PEM file with the public key, or its certificate, that the bundle must be signed with"`
	Algorithm string        `yaml:"algorithm" oneof:"ES256|ES384|ES512|RS256|RS384|RS512|PS256|PS384|PS512|EdDSA" doc:"how it is signed; left out: as suits the key, RS256 for RSA"`
	Scope     string        `yaml:"scope" doc:"scope that the signature must name; left out: none"`
	Roots     string        `yaml:"roots" doc:"PEM file with the trust anchors for the server; left out: the system's"`
	TokenFile string        `yaml:"token_file" doc:"file with a bearer token for the server; read anew each time"`
	File      string        `yaml:"file" default:"/var/lib/sallyport/bundle.tar.gz" doc:"where the bundle in force is kept, to start with when the server is down; its signature is verified again then"`
	Poll      time.Duration `yaml:"poll" default:"1m" doc:"how often the server is asked whether there is a new one"`
	Timeout   time.Duration `yaml:"timeout" default:"30s" doc:"the longest that fetching it may take"`
	Bytes     int64         `yaml:"bytes" default:"32MiB" doc:"the largest bundle that is taken; unpacked it may be eight times as large"`
	Stale     time.Duration `yaml:"stale" default:"24h" doc:"told when the server has not confirmed for so long that the bundle in force is the present one"`
}

func (c BundleConfig) withDefaults() BundleConfig {
	for _, d := range []struct {
		value *time.Duration
		none  time.Duration
	}{{&c.Poll, time.Minute}, {&c.Timeout, 30 * time.Second}, {&c.Stale, 24 * time.Hour}} {
		if *d.value <= 0 {
			*d.value = d.none
		}
	}
	if c.Bytes <= 0 {
		c.Bytes = 32 << 20
	}
	return c
}

// NewBundle makes the feed of a signed bundle. The error names the key of BundleConfig that is at fault.
func NewBundle(c BundleConfig) (*Feed, error) {
	c = c.withDefaults()
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("url: %q must be an https URL", c.URL)
	}
	b := &bundles{config: c}
	text, err := os.ReadFile(c.Key)
	if err == nil {
		c.Algorithm, err = algorithmOf(text, c.Algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	// One key, whatever name the signature gives it.
	b.verify = bundle.NewVerificationConfig(map[string]*bundle.KeyConfig{"key": {Key: string(text), Algorithm: c.Algorithm}}, "key", c.Scope, nil)
	var roots *x509.CertPool
	if c.Roots != "" {
		text, err := os.ReadFile(c.Roots)
		roots = x509.NewCertPool()
		if err == nil && !roots.AppendCertsFromPEM(text) {
			err = fmt.Errorf("%s holds no certificate", c.Roots)
		}
		if err != nil {
			return nil, fmt.Errorf("roots: %w", err)
		}
	}
	b.client = &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableCompression: true, DisableKeepAlives: true,
			ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return &Feed{Origin: "bundle", Source: b, File: c.File, Every: c.Poll, Timeout: c.Timeout, Stale: c.Stale}, nil
}

// algorithmOf is how a key signs. A secret that both sides share is none of those here: whoever can verify with it can sign.
func algorithmOf(text []byte, wanted string) (string, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return "", errors.New("it is no PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var cert *x509.Certificate
		if cert, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = cert.PublicKey
		}
	default:
		err = fmt.Errorf("it is a %s, and should be a public key", strings.ToLower(block.Type))
	}
	if err != nil {
		return "", err
	}
	var suits []string
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		suits = []string{map[int]string{256: "ES256", 384: "ES384", 521: "ES512"}[k.Curve.Params().BitSize]}
	case *rsa.PublicKey:
		suits = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case ed25519.PublicKey:
		suits = []string{"EdDSA"}
	}
	switch {
	case len(suits) == 0 || suits[0] == "":
		return "", errors.New("keys of its kind are not known here")
	case wanted == "":
		return suits[0], nil
	case !slices.Contains(suits, wanted):
		return "", fmt.Errorf("it cannot sign by %s", wanted)
	}
	return wanted, nil
}

// bundles is the source of signed bundles.
type bundles struct {
	config BundleConfig
	verify *bundle.VerificationConfig
	client *http.Client
}

// Fetch asks the server; tag is the entity tag (RFC 9110 §8.8.3) of the bundle in force.
func (b *bundles) Fetch(ctx context.Context, tag string) (text []byte, now string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.config.URL, nil)
	if err != nil {
		return nil, "", err
	}
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	if b.config.TokenFile != "" {
		token, err := os.ReadFile(b.config.TokenFile)
		if err != nil {
			return nil, "", fmt.Errorf("the bearer token: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && tag != "":
		return nil, "", ErrUnchanged
	case resp.StatusCode != http.StatusOK:
		return nil, "", fmt.Errorf("%s answers %s", b.config.URL, resp.Status)
	}
	text, err = io.ReadAll(io.LimitReader(resp.Body, b.config.Bytes+1))
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("reading %s: %w", b.config.URL, err)
	case int64(len(text)) > b.config.Bytes:
		return nil, "", fmt.Errorf("the bundle is larger than policy.bundle.bytes, %d", b.config.Bytes)
	}
	return text, resp.Header.Get("ETag"), nil
}

// revisions are the names of bundles that are taken: a number that grows, and whatever tells people more.
var revisions = regexp.MustCompile(`^([0-9]{1,18})(?:[-.+_][-.+_A-Za-z0-9]{1,44})?$`)

// Open verifies a bundle and takes its files out. One that is older than the one in force is a replay.
func (b *bundles) Open(text []byte, inForce *Supply) (Supply, error) {
	if err := b.bounded(text); err != nil {
		return Supply{}, err
	}
	r := bundle.NewCustomReader(bundle.NewTarballLoaderWithBaseURL(bytes.NewReader(text), "")).
		WithBundleVerificationConfig(b.verify).WithSizeLimitBytes(8 * b.config.Bytes)
	got, err := r.Read()
	if err != nil {
		return Supply{}, fmt.Errorf("the bundle: %w", err)
	}
	if len(got.WasmModules)+len(got.PlanModules) > 0 {
		return Supply{}, errors.New("the bundle holds compiled policy; build it with the target rego")
	}
	version := got.Manifest.Revision
	serial, ok := Serial(version)
	if !ok {
		return Supply{}, fmt.Errorf("the bundle's revision is %q; it must begin with a number that grows, such as 20270630120000-abc", version)
	}
	if inForce != nil {
		was, _ := Serial(inForce.Version)
		switch {
		case serial < was:
			return Supply{}, fmt.Errorf("the bundle's revision %s is older than %s, which is in force: an old one is not taken again", version, inForce.Version)
		case serial == was:
			return Supply{}, fmt.Errorf("the bundle's revision %s is that of the one in force, %s, and its content is another", version, inForce.Version)
		}
	}
	s := Supply{Origin: "bundle", Version: version}
	for _, m := range got.Modules {
		s.Files = append(s.Files, File{strings.TrimPrefix(m.Path, "/"), m.Raw})
	}
	slices.SortFunc(s.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	if len(got.Data) > 0 {
		data, err := json.Marshal(got.Data)
		if err != nil {
			return Supply{}, fmt.Errorf("the bundle's data: %w", err)
		}
		s.Files = append(s.Files, File{"data.json", data})
	}
	return s, nil
}

// bounded refuses what is small and unpacks to much, and what has files that nobody would read.
func (b *bundles) bounded(text []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("the bundle is no gzip: %w", err)
	}
	left := &io.LimitedReader{R: z, N: 8*b.config.Bytes + 1}
	unread, err := unreadIn(tar.NewReader(left))
	if err == nil {
		_, err = io.Copy(io.Discard, left)
	}
	switch {
	case left.N == 0:
		return fmt.Errorf("the bundle is larger than eight times policy.bundle.bytes, %d, when it is unpacked", b.config.Bytes)
	case err != nil:
		return fmt.Errorf("unpacking the bundle: %w", err)
	case len(unread) > 0:
		return fmt.Errorf("the bundle holds %s, which would not be read: in a bundle, data.peers lies in peers/data.json or peers/data.yaml", strings.Join(unread, ", "))
	}
	return nil
}

// unreadIn lists the files that are read in a directory, and not by OPA in a bundle: what is passed over in silence refuses nothing.
func unreadIn(t *tar.Reader) (names []string, err error) {
	for {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF):
			return names, nil
		case err != nil:
			return nil, err
		}
		base := path.Base(h.Name)
		if h.Typeflag == tar.TypeDir || strings.HasPrefix(base, ".") || !known(strings.ToLower(base)) {
			continue
		}
		switch base {
		case "data.json", "data.yaml", "data.yml", "patch.json", "plan.json": // the last two are refused by their names
		default:
			if path.Ext(base) != ".rego" {
				names = append(names, h.Name)
			}
		}
	}
}

// Serial is the number that the version of a bundle begins with.
func Serial(version string) (uint64, bool) {
	m := revisions.FindStringSubmatch(version)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseUint(m[1], 10, 64)
	return n, err == nil
}
