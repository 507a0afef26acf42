package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// inputDocument is [Input] as schema/input.json has it.
type inputDocument struct {
	V         int             `json:"v"`
	Direction string          `json:"direction"`
	Local     domainDocument  `json:"local"`
	Remote    domainDocument  `json:"remote"`
	From      addressDocument `json:"from"`
	To        addressDocument `json:"to"`
	Contact   bool            `json:"contact"`
	Link      struct {
		ID      string `json:"id"`
		Channel string `json:"channel"`
		TLS     struct {
			Version string `json:"version"`
			Cipher  string `json:"cipher"`
			ALPN    string `json:"alpn"`
		} `json:"tls"`
		Proof    string `json:"proof"`
		RemoteIP string `json:"remote_ip"`
		Cert     struct {
			SPKI       string `json:"spki"`
			Issuer     string `json:"issuer"`
			NotAfter   string `json:"not_after"`
			Revocation string `json:"revocation"`
		} `json:"cert"`
		Known struct {
			Channel string `json:"channel"`
			Proof   string `json:"proof"`
			Pin     string `json:"pin"`
		} `json:"known"`
		Route string `json:"route"`
	} `json:"link"`
	Stanza struct {
		Kind     string   `json:"kind"`
		Type     string   `json:"type"`
		ID       string   `json:"id"`
		Size     int      `json:"size"`
		Lang     string   `json:"lang"`
		Payloads []string `json:"payloads"`
		Class    []string `json:"class"`
		Label    string   `json:"label"`
		HasBody  bool     `json:"has_body"`
		E2EE     string   `json:"e2ee"`
		Body     string   `json:"body"`
		Subject  string   `json:"subject"`
		Text     string   `json:"text"`
		URLs     []string `json:"urls"`
		JIDs     []string `json:"jids"`
	} `json:"stanza"`
}

type domainDocument struct {
	Domain string `json:"domain"`
}

type addressDocument struct {
	Bare     string `json:"bare"`
	Local    string `json:"local"`
	Domain   string `json:"domain"`
	Resource string `json:"resource"`
}

// ReadInput reads an input as schema/input.json describes it. What is left out is empty; what the schema does not have is an error.
func ReadInput(text []byte) (*Input, error) {
	var d inputDocument
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); errors.Is(err, io.EOF) {
		return nil, errors.New("reading an input: it is empty; {\"direction\": \"out\", \"local\": {\"domain\": …}, \"remote\": {\"domain\": …}} is the least")
	} else if err != nil {
		return nil, fmt.Errorf("reading an input: %w", err)
	}
	if d.V > 1 {
		return nil, fmt.Errorf("reading an input: version %d, this program knows 1", d.V)
	}
	if d.Direction != "in" && d.Direction != "out" || d.Local.Domain == "" || d.Remote.Domain == "" {
		return nil, fmt.Errorf("reading an input: it takes direction (in or out), local.domain and remote.domain")
	}
	l, s := &d.Link, &d.Stanza
	return &Input{
		Direction: d.Direction, Local: d.Local.Domain, Remote: d.Remote.Domain, From: Address(d.From), To: Address(d.To), Contact: d.Contact,
		Link: LinkFacts{ID: l.ID, Channel: l.Channel, Proof: l.Proof, TLSVersion: l.TLS.Version, Cipher: l.TLS.Cipher, ALPN: l.TLS.ALPN, RemoteIP: l.RemoteIP,
			CertSPKI: l.Cert.SPKI, CertIssuer: l.Cert.Issuer, CertNotAfter: l.Cert.NotAfter, Revocation: l.Cert.Revocation, Known: Known(l.Known), Route: l.Route},
		Stanza: StanzaFacts{Kind: s.Kind, Type: s.Type, ID: s.ID, Size: s.Size, Lang: s.Lang, Payloads: s.Payloads, Class: s.Class, Label: s.Label,
			HasBody: s.HasBody, E2EE: s.E2EE, Body: s.Body, Subject: s.Subject, Text: s.Text, URLs: s.URLs, JIDs: s.JIDs},
	}, nil
}
