package probe

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The page is made for this many columns. Only what is to be copied, a DNS record or an option, may be longer.
const (
	columns = 100
	margin  = 15 // of what stands beside a label
)

// page is text in two columns, wrapped.
type page struct{ b strings.Builder }

// title begins a part.
func (p *page) title(format string, args ...any) {
	if p.b.Len() > 0 {
		p.b.WriteByte('\n')
	}
	for _, line := range wrap(fmt.Sprintf(format, args...), columns) {
		p.b.WriteString(line + "\n")
	}
}

// row writes text beside a label; an empty one stands below the row before it. No text, no row.
func (p *page) row(label, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if text == "" {
		return
	}
	for i, line := range wrap(text, columns-margin) {
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(&p.b, "  %-*s%s\n", margin-2, label, line)
	}
}

// verbatim writes what is to be copied.
func (p *page) verbatim(text string) {
	if text != "" {
		p.b.WriteString("       " + text + "\n")
	}
}

// wrap breaks text into lines at spaces, and words that are too long anywhere.
func wrap(text string, width int) (lines []string) {
	line, used := "", 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > width {
			lines, line, used = append(lines, line), "", 0
		}
		for n > width {
			head := string([]rune(word)[:width])
			lines, word, n = append(lines, head), word[len(head):], n-width
		}
		if used > 0 {
			line, used = line+" ", used+1
		}
		line, used = line+word, used+n
	}
	return append(lines, line)
}

// Page writes the report for people.
func (r *Report) Page(w io.Writer) error {
	p := new(page)
	p.title("%s, asked as %s", r.Domain, r.From)
	p.row("grade", "%s", strings.ToUpper(string(r.Grade)))
	p.row("because", "%s", r.Reason)
	if r.Grade != r.Offers {
		p.row("otherwise", "it would be %s", r.Offers)
	}
	besides := slices.DeleteFunc(slices.Clone(r.Flaws), func(flaw string) bool { return strings.Contains(r.Reason, flaw) })
	for i, flaw := range besides {
		p.row(label(i, "besides"), "%s", flaw)
	}
	r.DNS.page(p)
	for i := range r.Endpoints {
		r.Endpoints[i].page(p, r.Time)
	}
	if r.Skipped > 0 {
		p.title("%d more addresses were not called", r.Skipped)
	}
	r.Proof.page(p)
	r.Memory.page(p)
	r.Policy.page(p)
	if len(r.Fixes) > 0 {
		p.title("What to do")
	}
	for i, f := range r.Fixes {
		p.row(fmt.Sprintf("%2d. %s", i+1, f.Who), "%s", f.What)
		p.verbatim(f.Record)
		p.verbatim(f.Option)
	}
	p.title("%s in all", r.Took)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// label stands beside the first row of several.
func label(i int, text string) string {
	if i > 0 {
		return ""
	}
	return text
}

// String writes it as "1.2 ms", "12 ms" or "1.2 s".
func (m Milliseconds) String() string {
	switch {
	case m >= 1000:
		return fmt.Sprintf("%.1f s", m/1000)
	case m < 10:
		return fmt.Sprintf("%.1f ms", m)
	}
	return fmt.Sprintf("%.0f ms", m)
}

func (d *DNS) page(p *page) {
	dnssec := "not asked for"
	if d.Validating {
		dnssec = "validated"
	}
	p.title("DNS (%s; DNSSEC %s)", d.Took, dnssec)
	p.row("route", "%s", d.Route)
	for _, s := range d.Services {
		p.row(strings.TrimPrefix(strings.SplitN(s.Name, ".", 2)[0], "_"), "%s%s", or(strings.Join(s.Records, "; "), "none: "+s.Problem), signed(s.DNSSEC))
	}
	shown := map[string]bool{}
	for _, place := range d.Places {
		if shown[place.Target] {
			continue // it stands there for another port
		}
		shown[place.Target] = true
		p.row("host", "%s: %s%s", place.Target, or(strings.Join(place.Addresses, ", "), place.Problem), signed(place.DNSSEC))
		if place.Canonical != "" {
			p.row("", "which is an alias of %s", place.Canonical)
		}
	}
	for _, place := range d.Places {
		for _, record := range place.TLSA {
			p.row("TLSA", "%s: %s", place.TLSAName, record)
		}
	}
	for _, f := range d.Refused {
		p.row("not called", "%s of %s: %s", f.Address, f.Target, f.Reason)
	}
	p.row("CAA", "%s", d.CAA.String())
	p.row("problem", "%s", d.Problem)
}

// String puts the records on one line.
func (c CAA) String() string {
	switch {
	case c.Problem != "":
		return c.Problem
	case len(c.Records) == 0:
		return "none: any authority may issue certificates for it"
	}
	return c.Owner + ": " + strings.Join(c.Records, "; ") + signed(c.DNSSEC)
}

func signed(is bool) string {
	if is {
		return " (signed)"
	}
	return ""
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (e *Endpoint) page(p *page, now time.Time) {
	kind := "STARTTLS"
	if e.DirectTLS {
		kind = "direct TLS"
	}
	p.title("%s port %d at %s (%s)", e.Target, e.Port, or(e.Address, "no address"), kind)
	p.row("took", "%s", e.Took)
	e.Clear.page(p, "in clear")
	if t := e.TLS; t != nil {
		p.row("TLS", "%s%s%s", strings.Join(slices.DeleteFunc([]string{t.Version, t.Cipher, t.Group, t.ALPN}, func(s string) bool { return s == "" }), ", "),
			yes(t.AsksForOur, "; asks for our certificate"), yes(t.Stapled, "; staples OCSP"))
		for i, c := range t.Chain {
			c.page(p, i, now)
		}
		p.row("proof", "%s: %s", t.Proof, strings.Join([]string{t.PKIX.say("PKIX"), t.DANE.say("DANE"), t.POSH.say("POSH")}, "; "))
		p.row("revocation", "%s", t.Revocation)
	}
	e.Secure.page(p, "over TLS")
	if e.Step != "" {
		p.row("ended", "at %s: %s", e.Step, e.Problem)
	}
}

func yes(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

// String lists the steps that were taken.
func (t Took) String() string {
	var steps []string
	for _, s := range []struct {
		name string
		took Milliseconds
	}{{"TCP", t.TCP}, {"stream", t.Clear}, {"TLS", t.TLS}, {"stream over TLS", t.Secure}} {
		if s.took > 0 {
			steps = append(steps, fmt.Sprintf("%s %s", s.name, s.took))
		}
	}
	return strings.Join(steps, ", ")
}

func (o *Offer) page(p *page, label string) {
	if o == nil {
		return
	}
	var has []string
	if o.StartTLS != "no" {
		has = append(has, "STARTTLS "+o.StartTLS)
	}
	if len(o.Mechanisms) > 0 {
		has = append(has, "SASL "+strings.Join(o.Mechanisms, " "))
	}
	if o.Dialback {
		has = append(has, "dialback"+yes(o.Errors, " with errors"))
	}
	has = append(has, o.Other...)
	p.row(label, "%s%s", or(strings.Join(has, ", "), "offers nothing"), yes(o.Version == "", " (a server from before 2004)"))
}

// say puts a verdict on a line.
func (v Verdict) say(name string) string {
	switch {
	case v.Proved:
		return name + " yes, by " + v.By
	case v.Reason == "":
		return name + " no"
	}
	return name + " no, " + v.Reason
}

func (c *Certificate) page(p *page, i int, now time.Time) {
	if i > 0 {
		p.row(label(i-1, "sent with it"), "%s until %s, %s", c.Subject, c.NotAfter.Format(time.DateOnly), c.Key)
		return
	}
	p.row("certificate", "names %s", or(strings.Join(c.Names, ", "), "no host"))
	p.row("", "issued by %s", c.Issuer)
	p.row("", "from %s to %s (%s); %s, %s; %s", c.NotBefore.Format(time.DateOnly), c.NotAfter.Format(time.DateOnly), life(c.NotAfter.Sub(now)), c.Key, c.Signature,
		or(strings.Join(c.Usage, " and "), "for any use"))
	p.row("", "%s", c.SPKI)
}

// life says how much of it is left.
func life(left time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case left < 0:
		return fmt.Sprintf("EXPIRED %d days ago", -left/day)
	case left < 3*day:
		return fmt.Sprintf("%d hours left", left/time.Hour)
	}
	return fmt.Sprintf("%d days left", left/day)
}

func (pr *Proof) page(p *page) {
	p.title("Proving ourselves%s", yes(pr.Address != "", " at "+pr.Address))
	p.row("EXTERNAL", "%s", pr.External)
	p.row("dialback", "%s", pr.Dialback)
}

// String puts a trial on a line.
func (t Trial) String() string {
	s := t.Result
	if t.Took > 0 {
		s += " after " + t.Took.String()
	}
	if t.Reason != "" {
		s += ": " + t.Reason
	}
	return s
}
