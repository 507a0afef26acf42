package lab

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// Trace is what a Capture has seen, put together again.
type Trace struct {
	Flows     []*Flow
	Questions []Question
	Packets   int
}

// Flow is one direction of a TCP connection.
type Flow struct {
	Src, Dst netip.AddrPort
	Data     []byte // in order, each byte once
	Gap      bool   // bytes in the middle were not captured

	next  uint32            // sequence number that follows Data
	known bool              // next is
	early map[uint32][]byte // segments beyond next
}

// Question is a name that somebody asked a DNS server for.
type Question struct {
	Src, Dst netip.AddrPort
	Name     string // without the final dot, lower case
	Type     string
}

// ReadTrace reads a capture file of tcpdump: pcap, Ethernet, IPv4 and IPv6, TCP and UDP.
func ReadTrace(r io.Reader) (*Trace, error) {
	in := bufio.NewReader(r)
	var header [24]byte
	if _, err := io.ReadFull(in, header[:]); err != nil {
		return nil, fmt.Errorf("reading the file header: %w", err)
	}
	if magic, link := binary.LittleEndian.Uint32(header[:]), binary.LittleEndian.Uint32(header[20:]); magic != 0xa1b2c3d4 || link != 1 {
		return nil, fmt.Errorf("not a little-endian Ethernet pcap file: magic %x, link type %d", magic, link)
	}
	a := assembly{trace: new(Trace), flows: make(map[[2]netip.AddrPort]*Flow)}
	for {
		var record [16]byte
		if _, err := io.ReadFull(in, record[:]); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return nil, fmt.Errorf("reading packet %d: %w", a.trace.Packets+1, err)
		}
		packet := make([]byte, binary.LittleEndian.Uint32(record[8:]))
		if _, err := io.ReadFull(in, packet); err != nil {
			return nil, fmt.Errorf("reading packet %d: %w", a.trace.Packets+1, err)
		}
		a.trace.Packets++
		a.ethernet(packet)
	}
	for _, f := range a.trace.Flows {
		f.Gap = len(f.early) > 0
	}
	return a.trace, nil
}

// assembly is a Trace in the making.
type assembly struct {
	trace *Trace
	flows map[[2]netip.AddrPort]*Flow
}

func (a *assembly) ethernet(b []byte) {
	if len(b) < 14 {
		return
	}
	switch kind, b := binary.BigEndian.Uint16(b[12:]), b[14:]; {
	case kind == 0x0800 && len(b) >= 20: // IPv4, RFC 791 §3.1
		size, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if total < size || len(b) < total {
			return
		}
		src, _ := netip.AddrFromSlice(b[12:16])
		dst, _ := netip.AddrFromSlice(b[16:20])
		a.transport(b[9], src, dst, b[size:total])
	case kind == 0x86dd && len(b) >= 40: // IPv6 without extension headers, RFC 8200 §3
		src, _ := netip.AddrFromSlice(b[8:24])
		dst, _ := netip.AddrFromSlice(b[24:40])
		if total := int(binary.BigEndian.Uint16(b[4:])); len(b) >= 40+total {
			a.transport(b[6], src, dst, b[40:40+total])
		}
	}
}

func (a *assembly) transport(protocol byte, src, dst netip.Addr, b []byte) {
	if len(b) < 8 {
		return
	}
	from := netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	to := netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	switch {
	case protocol == 17 && to.Port() == 53:
		a.question(from, to, b[8:])
	case protocol == 6 && len(b) >= 20:
		a.segment(from, to, b)
	}
}

func (a *assembly) question(from, to netip.AddrPort, b []byte) {
	m := new(dns.Msg)
	if m.Unpack(b) != nil && len(m.Question) == 0 {
		return
	}
	for _, q := range m.Question {
		a.trace.Questions = append(a.trace.Questions, Question{Src: from, Dst: to,
			Name: strings.ToLower(strings.TrimSuffix(q.Name, ".")), Type: dns.TypeToString[q.Qtype]})
	}
}

// segment adds a TCP segment to its flow (RFC 9293 §3.1). Sequence numbers are compared modulo 2^32.
func (a *assembly) segment(from, to netip.AddrPort, b []byte) {
	seq, flags, offset := binary.BigEndian.Uint32(b[4:]), b[13], int(b[12]>>4)*4
	if offset > len(b) {
		return
	}
	const syn = 2
	f := a.flows[[2]netip.AddrPort{from, to}]
	if f == nil || flags&syn != 0 && f.known && f.next != seq+1 { // the port is used again
		f = &Flow{Src: from, Dst: to, early: make(map[uint32][]byte)}
		a.flows[[2]netip.AddrPort{from, to}] = f
		a.trace.Flows = append(a.trace.Flows, f)
	}
	if flags&syn != 0 {
		seq++
	}
	if !f.known {
		f.next, f.known = seq, true
	}
	f.add(seq, b[offset:])
}

func (f *Flow) add(seq uint32, payload []byte) {
	if len(payload) == 0 {
		return
	}
	if ahead := int32(seq - f.next); ahead > 0 {
		if len(payload) > len(f.early[seq]) {
			f.early[seq] = slices.Clone(payload)
		}
		return
	} else if int(-ahead) < len(payload) { // new, or sent again with something new
		f.Data = append(f.Data, payload[-ahead:]...)
		f.next += uint32(len(payload) + int(ahead))
	}
	for seq, early := range f.early {
		if int32(seq-f.next) <= 0 {
			delete(f.early, seq)
			f.add(seq, early)
			return
		}
	}
}

// With returns the flows from or to the address.
func (tr *Trace) With(a netip.Addr) []*Flow {
	var flows []*Flow
	for _, f := range tr.Flows {
		if f.Src.Addr() == a || f.Dst.Addr() == a {
			flows = append(flows, f)
		}
	}
	return flows
}

// Asked returns the questions about name and the names below it.
func (tr *Trace) Asked(name string) []Question {
	var asked []Question
	for _, q := range tr.Questions {
		if q.Name == name || strings.HasSuffix(q.Name, "."+name) {
			asked = append(asked, q)
		}
	}
	return asked
}

// String names the flow.
func (f *Flow) String() string { return fmt.Sprintf("%s → %s, %d bytes", f.Src, f.Dst, len(f.Data)) }

// Clear returns the bytes that are not in TLS records: those before the first one. What follows has to be records to
// the end (RFC 8446 §5.1), or it is returned as well.
func (f *Flow) Clear() []byte {
	start := 0
	for start < len(f.Data) && !isRecord(f.Data[start:]) {
		start++
	}
	rest := f.Data[start:]
	for len(rest) > 0 {
		if !isRecord(rest) {
			return append(slices.Clone(f.Data[:start]), rest...)
		}
		if size := 5 + int(binary.BigEndian.Uint16(rest[3:])); size < len(rest) {
			rest = rest[size:]
		} else {
			rest = nil // the last record, perhaps cut when the capture ended
		}
	}
	return f.Data[:start]
}

// isRecord tells a TLS record from XML, in which the first byte is not possible but for a blank.
func isRecord(b []byte) bool {
	return len(b) >= 5 && b[0] >= 20 && b[0] <= 23 && b[1] == 3 && b[2] <= 3 && binary.BigEndian.Uint16(b[3:]) <= 1<<14+256
}

// harmless is all that XMPP may say before TLS (RFC 6120 §5.4): headers, features, the negotiation itself, an error; also
// dialback's error, which has no key (XEP-0220 §2.5).
var harmless = regexp.MustCompile(`(?s)^\s*(<\?xml [^<>]*\?>\s*` +
	`|<stream:stream [^<>]*>\s*|</stream:stream>\s*` +
	`|<stream:features>.*?</stream:features>\s*|<stream:features/>\s*` +
	`|<stream:error>.*?</stream:error>\s*` +
	`|<db:(result|verify) [^<>]*type='error'[^<>]*><error .*?</error></db:(result|verify)>\s*` +
	`|<(starttls|proceed|failure) [^<>]*/>\s*|<(starttls|proceed|failure) [^<>]*>\s*</(starttls|proceed|failure)>\s*)*$`)

// Exposed returns what crossed the flow in clear and should not have, "" when there is nothing. Only the negotiation of
// TLS may be in clear: no stanza, no key, no SASL.
func (f *Flow) Exposed() string {
	if clear := f.Clear(); f.Gap || !harmless.Match(clear) {
		return string(clear)
	}
	return ""
}
