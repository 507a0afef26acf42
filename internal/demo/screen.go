package demo

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"sallyport/internal/peer"
)

// The colours, each with its meaning. Bold is for headings.
const (
	bold   = "1"
	green  = "32" // as it must be
	yellow = "33" // refused, as it must be
	red    = "31" // not as it must be
	faint  = "2"
)

// screen tells a person what happens, while it happens.
type screen struct {
	out   io.Writer
	color bool
	json  bool

	program string // how a person calls sallyport here
}

// newScreen prints to o.Out, or nothing before the end when a program reads.
func newScreen(o Options, f folder) *screen {
	s := &screen{out: o.Out, color: o.Color && !o.JSON, json: o.JSON, program: cmp.Or(o.Program, os.Args[0])}
	s.printf("%s\n", s.paint(bold, "A federation on loopback, in one process, around a real gate"))
	s.printf("%s\n", s.paint(faint, "configuration, certificates, policy and record: "+f.dir))
	return s
}

func (s *screen) printf(format string, args ...any) {
	if !s.json {
		fmt.Fprintf(s.out, format, args...)
	}
}

func (s *screen) paint(color, text string) string {
	if !s.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// column pads to a width in characters; the arrows and dots of ours are one each.
func column(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

func (s *screen) heading(text string) { s.printf("\n%s\n", s.paint(bold, text)) }

func (s *screen) cast(c *cast) {
	s.heading("Who is there")
	for _, line := range [][2]string{
		{corp, "legacy server: no TLS, no XMPP version, dialback its only proof"},
		{"the gate", "inside " + c.at.inside + ", DNS " + c.at.dns + ", outside " + c.at.outside},
		{partner, "modern server: requires TLS, checks certificates; listed in the configuration"},
		{rival, "another one, with a good certificate; listed nowhere"},
	} {
		s.printf("  %s  %s\n", column(line[0], 16), line[1])
	}
}

// attempt prints the line of one stanza.
func (s *screen) attempt(mark, color string, a attempt, tail string) {
	who := column(a.from+" → "+a.to, 41)
	s.printf("  %s %s %s %s  %s\n", s.paint(color, mark), column(a.kind, 8), who, a.what, s.paint(faint, tail))
}

func (s *screen) passed(a attempt) {
	switch {
	case a.delivered:
		s.attempt("✓", green, a, spent(a.took))
	case a.bounce != nil:
		s.attempt("✗", red, a, "came back: "+a.bounce.Error())
	default:
		s.attempt("✗", red, a, "did not arrive")
	}
}

func (s *screen) row(first attempt, inOrder bool, took time.Duration) {
	first.what = fmt.Sprintf("%d in a row", burst)
	if inOrder {
		s.attempt("✓", green, first, "in order, "+spent(took))
	} else {
		s.attempt("✗", red, first, "not all arrived, or not in order")
	}
}

// refused prints a forbidden stanza, with the words that its sender read.
func (s *screen) refused(a attempt) {
	switch {
	case a.delivered:
		s.attempt("✗", red, a, "ARRIVED")
	case a.bounce != nil:
		s.attempt("■", yellow, a, "")
		s.printf("             %s\n", s.paint(yellow, "back came "+a.bounce.Error()))
	default:
		s.attempt("■", yellow, a, "")
		s.printf("             %s\n", s.paint(yellow, "dropped: presence is not answered"))
	}
}

func spent(d time.Duration) string { return d.Round(10 * time.Microsecond).String() }

func (s *screen) links(links []Link) {
	s.heading("The links that stand")
	for _, l := range links {
		who := map[string]string{"in": "called us", "out": "we called"}[l.Kind]
		proof := "proved by " + l.Proof
		if l.Proof == "none" {
			proof = "at its address"
		}
		s.printf("  %s %s %s %s %s\n", column(l.Door, 8), column(who, 10), column(strings.Join(l.Pairs, ", "), 31),
			s.paint(map[string]string{"tls": green}[l.Channel], column(cmp.Or(l.TLS, l.Channel), 31)), proof)
	}
}

func (s *screen) record(v RecordView, verified bool, missing int) {
	s.heading("The record")
	switch {
	case !verified:
		s.printf("  %s it does not verify: %s\n", s.paint(red, "✗"), v.Problem)
	case missing > 0:
		s.printf("  %s %d events, and %d of the stanzas above are not among them\n", s.paint(red, "✗"), v.Events, missing)
	default:
		s.printf("  %s %d events, whole and in order; nothing above is missing in it\n", s.paint(green, "✓"), v.Events)
	}
}

func (s *screen) wire(c peer.Crossed) {
	s.heading("The outside wire, as a listener saw it")
	color, mark := green, "✓"
	if c.Exposed > 0 {
		color, mark = red, "✗"
	}
	s.printf("  %s %d bytes in TLS, %d in clear (headers, features, STARTTLS); of stanzas and keys in clear: %d\n", s.paint(color, mark), c.Secured, c.Clear, c.Exposed)
}

// end prints the sums, or the one object for programs.
func (s *screen) end(res Result) error {
	if s.json {
		return printJSON(s.out, res)
	}
	s.heading("All in all")
	s.printf("  %d stanzas sent: %d delivered, %d refused (%d came back with a reason), %d lost; %d recorded, %d refused with its whole domain\n",
		res.Sent, res.Delivered, res.Refused, res.Bounced, res.Lost, res.Recorded, res.AtLink)
	for _, fault := range res.Faults {
		s.printf("  %s %s\n", s.paint(red, "✗"), fault)
	}
	if res.OK {
		s.printf("  %s everything was as it must be\n", s.paint(green, "✓"))
	}
	return nil
}

// hints say how to look at the gate while it stays up.
func (s *screen) hints(f folder) {
	s.heading("The gate stays up. In another terminal:")
	for _, line := range []string{
		"status -c " + f.config(),
		"audit search -c " + f.config() + " --domain " + partner,
		"audit search -c " + f.config() + " --effect deny",
		"audit tail -f -c " + f.config(),
	} {
		s.printf("  %s %s\n", s.program, line)
	}
	s.printf("\nCtrl-C ends it.\n")
}
