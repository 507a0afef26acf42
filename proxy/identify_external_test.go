package proxy_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"

	"sallyport/internal/jid"
	"sallyport/internal/xmpptest"
)

// altNames is a subjectAltName that has nothing but names of XMPP's own forms (RFC 6120 §13.7.1.4): form is the last arc of id-on.
func altNames(t *testing.T, form, tag int, text string) func(*x509.Certificate) {
	t.Helper()
	inner, err := asn1.Marshal(asn1.RawValue{Tag: tag, Bytes: []byte(text)})
	must(t, err)
	raw, err := asn1.MarshalWithParams(struct {
		Form  asn1.ObjectIdentifier
		Value asn1.RawValue
	}{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 8, form}, asn1.RawValue{Class: asn1.ClassContextSpecific, IsCompound: true, Bytes: inner}}, "tag:0")
	must(t, err)
	value, err := asn1.Marshal([]asn1.RawValue{{FullBytes: raw}})
	must(t, err)
	return func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value}}
	}
}

const (
	srvName, xmppAddr    = 7, 5
	ia5String, utf8Text  = asn1.TagIA5String, asn1.TagUTF8String
	idn, idnASCII, above = "bücher.example", "xn--bcher-kva.example", "example"
)

// [S01], [I02]–[I09], as receiving server: EXTERNAL is offered to those whose certificate names the header's domain, in any of the forms,
// and then succeeds; to others it is neither offered nor given, and the stream stays open for dialback ([S07]).
func TestExternalByNames(t *testing.T) {
	t.Parallel()
	purpose := func(use ...x509.ExtKeyUsage) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.DNSNames, c.ExtKeyUsage = []string{remote}, use }
	}
	for name, x := range map[string]struct {
		change func(*x509.Certificate)
		from   string
		given  bool
	}{
		"[I03] dNSName":                               {dnsNames(remote), remote, true},
		"[I03] SRVName alone":                         {altNames(t, srvName, ia5String, "_xmpp-server."+remote), remote, true},
		"[I04] SRVName of another case":               {altNames(t, srvName, ia5String, "_XMPP-Server."+strings.ToUpper(remote)), remote, true},
		"[I04] SRVName of another service":            {altNames(t, srvName, ia5String, "_xmpp-client."+remote), remote, false},
		"[I03] xmppAddr alone":                        {altNames(t, xmppAddr, utf8Text, remote), remote, true},
		"[I03] xmppAddr with a local part":            {altNames(t, xmppAddr, utf8Text, "juliet@"+remote), remote, false},
		"[I03] xmppAddr with a resource":              {altNames(t, xmppAddr, utf8Text, remote+"/x"), remote, false},
		"[I05] wildcard":                              {dnsNames("*." + above), remote, true},
		"[I05] wildcard, two labels deep":             {dnsNames("*." + above), "conference." + remote, false},
		"[I05] wildcard as xmppAddr":                  {altNames(t, xmppAddr, utf8Text, "*."+above), remote, false},
		"[I06] common name":                           {func(c *x509.Certificate) { c.Subject.CommonName = remote }, remote, false},
		"[I07] IDN, A-label":                          {dnsNames(idnASCII), idn, true},
		"[I07] IDN, A-label of another case":          {dnsNames(strings.ToUpper(idnASCII)), idn, true},
		"[I07] IDN, xmppAddr in U-labels":             {altNames(t, xmppAddr, utf8Text, idn), idn, true},
		"[I07] IDN, SRVName":                          {altNames(t, srvName, ia5String, "_xmpp-server."+idnASCII), idn, true},
		"[I07] IDN below a wildcard":                  {dnsNames("*." + above), idn, true},
		"[I07] IDN, the name in the header is ASCII":  {dnsNames(idnASCII), idnASCII, true},
		"[I09] for servers alone":                     {purpose(x509.ExtKeyUsageServerAuth), remote, true},
		"[I09] for clients alone":                     {purpose(x509.ExtKeyUsageClientAuth), remote, false},
		"[I09] for both":                              {purpose(x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth), remote, true},
		"[I09] for anything":                          {purpose(x509.ExtKeyUsageAny), remote, true},
		"[I09] for no purpose in particular":          {purpose(), remote, true},
		"[I02] of another domain":                     {dnsNames("other.example"), remote, false},
		"[S01] the header names nobody":               {dnsNames(remote), "", false},
		"[A05] the header names a domain of our own":  {dnsNames(remote, local), local, false},
		"[S03] named in the certificate, two domains": {dnsNames("other.example", remote), remote, true},
		"[A06] a name without a dot":                  {dnsNames("intranet"), "intranet", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{})
			s.shows("it", s.ca.leaf(t, newKey(t), x.change))
			header := "from='" + x.from + "' "
			if x.from == "" {
				header = ""
			}
			tls := strings.ReplaceAll(replaced(include(t, "_tls"), "client good", "client it"), "from='remote.example' ", header)
			c := xmpptest.Begin(t, s.Stage)
			tls, _, _ = strings.Cut(tls, "r receives header id='{p2}'")
			c.Play(tls + "r receives header id='{p2}'\n")
			auth := "r sends <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>\n"
			if !x.given {
				c.Play("r receives <stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>…</stream:features>\n" + auth +
					"r receives <failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>\n" +
					"r sends <db:verify from='other.example' to='corp.example' id='x'>k</db:verify>\nr receives <db:verify from='corp.example' to='other.example' id='x' type='invalid'/>\n" +
					`record lacks "kind":"link.open"`)
				return
			}
			spoken := jid.MustDomain(x.from).String()
			c.Play("r receives <stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>…</stream:features>\n" + auth + `
r receives <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>
r sends header from='` + x.from + `' to='corp.example' version='1.0'
r receives header id='{p3}'
r receives <stream:features>…</stream:features>
record has "kind":"link.open" "proof":"pkix" "remote":"` + spoken + `"
r sends <message from='juliet@` + x.from + `/x' to='romeo@corp.example' id='m1'/>
` + strings.ReplaceAll(include(t, "_backend_takes"), remote, spoken) + `
b receives <message from='juliet@…/x' to='romeo@corp.example' id='m1'/>`)
		})
	}
}

// [S03], [S05], [S05a], [S07], as receiving server: what an attempt may say, and what it gets. After three the stream ends.
func TestExternalAttempts(t *testing.T) {
	t.Parallel()
	const ns = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
	auth := func(text string) string { return "r sends <auth " + ns + " mechanism='EXTERNAL'>" + text + "</auth>\n" }
	fails := func(why string) string { return "r receives <failure " + ns + "><" + why + "/></failure>\n" }
	const succeeds = "r receives <success " + ns + "/>\n"
	challenged := "r sends <auth " + ns + " mechanism='EXTERNAL'/>\nr receives <challenge " + ns + "/>\n"
	for name, script := range map[string]string{
		"[S03] =":                             auth("=") + succeeds,
		"[S03] the header's domain":           auth("cmVtb3RlLmV4YW1wbGU=") + succeeds,
		"[S03] in another case":               auth("UmVtb3RlLkV4YW1wbGU=") + succeeds,
		"[S03] another domain":                auth("dGhpcmQuZXhhbXBsZQ==") + fails("invalid-authzid"),
		"[S03] a JID":                         auth("anVsaWV0QHJlbW90ZS5leGFtcGxl") + fails("invalid-authzid"),
		"[S05] another mechanism":             "r sends <auth " + ns + " mechanism='PLAIN'>=</auth>\n" + fails("invalid-mechanism"),
		"[S05] characters that are no base64": auth("cmVtb3R!LmV4YW1wbGU=") + fails("incorrect-encoding"),
		"[S05] a misplaced =":                 auth("cm=tb3RlLmV4YW1wbGU=") + fails("incorrect-encoding"),
		"[S05a] challenged, and answered":     challenged + "r sends <response " + ns + ">cmVtb3RlLmV4YW1wbGU=</response>\n" + succeeds,
		"[S05a] challenged, empty":            challenged + "r sends <response " + ns + "/>\n" + succeeds,
		"[S05] challenged, and given up":      challenged + "r sends <abort " + ns + "/>\n" + fails("aborted"),
		"[S07] three, and dialback":           strings.Repeat(auth("dGhpcmQuZXhhbXBsZQ==")+fails("invalid-authzid"), 3) + "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\nr receives <db:result from='corp.example' to='remote.example' type='valid'/>",
		"[S07] four":                          strings.Repeat(auth("dGhpcmQuZXhhbXBsZQ==")+fails("invalid-authzid"), 3) + auth("=") + failed("r", "policy-violation"),
		"[S06] another from after it":         auth("=") + succeeds + "r sends header from='other.example' to='corp.example' version='1.0'\nr receives header\n" + failed("r", "invalid-from"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{})
			xmpptest.Converse(t, s.Stage, include(t, "_tls")+script)
		})
	}
}

// [I10], W5, [S07], as initiating server: a peer that refuses our certificate for its purpose gets dialback on the same stream, under the
// same id, and the line says what it refused.
func TestExternalRefusedForItsPurpose(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends "+message("m1", 0)+"\n"+include(t, "_remote_tls")+`
r sends <stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>
r receives <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>Y29ycC5leGFtcGxl</auth>
r sends <failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/><text>unsuitable certificate purpose</text></failure>
key {want} outside remote.example corp.example r2
r receives <db:result from='corp.example' to='remote.example'>{want}</db:result>
r sends <db:result from='remote.example' to='corp.example' type='valid'/>
r receives `+message("m1", 0))
	if line := s.log.await("refused our certificate")[0]; !strings.Contains(line, "not-authorized") {
		t.Errorf("the line: %s", line)
	}
}
