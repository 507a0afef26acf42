package lab

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
)

// capture makes a pcap file of TCP segments between two hosts.
type capture struct{ bytes.Buffer }

func newCapture() *capture {
	c := new(capture)
	c.Write([]byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0})
	return c
}

func (c *capture) segment(seq uint32, flags byte, payload string) {
	tcp := make([]byte, 20, 20+len(payload))
	binary.BigEndian.PutUint16(tcp, 40000)
	binary.BigEndian.PutUint16(tcp[2:], 5269)
	binary.BigEndian.PutUint32(tcp[4:], seq)
	tcp[12], tcp[13] = 5<<4, flags
	tcp = append(tcp, payload...)
	ip := append([]byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 99, 2, 1, 10, 99, 2, 2}, tcp...)
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
	frame := append(append(make([]byte, 12), 8, 0), ip...)
	frame = append(frame, 0, 0, 0) // Ethernet padding is not payload
	record := make([]byte, 16)
	binary.LittleEndian.PutUint32(record[8:], uint32(len(frame)))
	binary.LittleEndian.PutUint32(record[12:], uint32(len(frame)))
	c.Write(record)
	c.Write(frame)
}

func (c *capture) only(t *testing.T) *Flow {
	t.Helper()
	trace, err := ReadTrace(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(trace.Flows) != 1 {
		t.Fatalf("%d flows, want 1", len(trace.Flows))
	}
	if f := trace.Flows[0]; f.Src != netip.MustParseAddrPort("10.99.2.1:40000") || f.Dst != netip.MustParseAddrPort("10.99.2.2:5269") {
		t.Errorf("the flow is %s", f)
	}
	return trace.Flows[0]
}

// TestTraceReassembles: each byte of a flow comes once and in order, whatever TCP did with it.
func TestTraceReassembles(t *testing.T) {
	t.Parallel()
	const syn, ack = 2, 16
	start := uint32(1<<32 - 5) // so that the sequence numbers wrap
	tests := map[string]struct {
		send func(c *capture)
		want string
		gap  bool
	}{
		"in order":             {func(c *capture) { c.segment(start+1, ack, "abc"); c.segment(start+4, ack, "defgh") }, "abcdefgh", false},
		"swapped":              {func(c *capture) { c.segment(start+4, ack, "defgh"); c.segment(start+1, ack, "abc") }, "abcdefgh", false},
		"sent twice":           {func(c *capture) { c.segment(start+1, ack, "abc"); c.segment(start+1, ack, "abc") }, "abc", false},
		"sent again with more": {func(c *capture) { c.segment(start+1, ack, "abc"); c.segment(start+2, ack, "bcdef") }, "abcdef", false},
		"three early, two same": {func(c *capture) {
			c.segment(start+7, ack, "gh")
			c.segment(start+4, ack, "def")
			c.segment(start+4, ack, "d")
			c.segment(start+1, ack, "abc")
		}, "abcdefgh", false},
		"something missing": {func(c *capture) { c.segment(start+1, ack, "abc"); c.segment(start+9, ack, "ij") }, "abc", true},
	}
	for name, test := range tests {
		c := newCapture()
		c.segment(start, syn, "")
		test.send(c)
		if f := c.only(t); string(f.Data) != test.want || f.Gap != test.gap {
			t.Errorf("%s: got %q, gap %t, want %q, %t", name, f.Data, f.Gap, test.want, test.gap)
		}
	}
}

// recorder is a connection of which only what is written counts.
type recorder struct {
	net.Conn
	w io.Writer
}

func (r *recorder) Write(b []byte) (int, error) { return r.w.Write(b) }
func (r *recorder) Read([]byte) (int, error)    { return 0, io.EOF }

// TestTraceExposes: what crossed in clear is found, wherever it stands beside the TLS records.
func TestTraceExposes(t *testing.T) {
	t.Parallel()
	var records bytes.Buffer
	client := tls.Client(&recorder{w: &records}, &tls.Config{InsecureSkipVerify: true})
	_ = client.Handshake() // fails after the ClientHello, which is a record of its own
	hello := records.String()
	if len(hello) < 100 {
		t.Fatalf("the ClientHello has %d bytes", len(hello))
	}
	const header = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' to='b' version='1.0'>"
	const starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	tests := map[string]struct {
		data    string
		exposed bool
	}{
		"negotiation and TLS":             {header + starttls + hello + hello, false},
		"features and TLS":                {header + "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + hello, false},
		"a record that is cut at the end": {header + starttls + hello[:50], false},
		"TLS alone":                       {hello, false},
		"an error":                        {header + "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>", false},
		"an error of dialback":            {header + "<db:result from='b' to='a' type='error'><error type='modify'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>", false},
		"a key beside an error":           {header + "<db:result from='b' to='a' type='error'><error type='modify'/></db:result><db:result from='a' to='b'>0123</db:result>", true},
		"a key before TLS":                {header + "<db:result from='a' to='b'>0123</db:result>" + starttls + hello, true},
		"a question before TLS":           {header + "<db:verify from='a' to='b' id='c'>0123</db:verify>" + starttls + hello, true},
		"a stanza before TLS":             {header + "<message to='a@b'/>" + starttls + hello, true},
		"a stanza instead of TLS":         {header + "<message to='a@b'><body>x</body></message>", true},
		"SASL in clear":                   {header + "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>", true},
		"clear text between records":      {header + starttls + hello + "<message/>" + hello, true},
		"clear text after records":        {header + starttls + hello + "x", true},
	}
	for name, test := range tests {
		c := newCapture()
		for seq := 0; seq < len(test.data); seq += 1000 {
			c.segment(uint32(seq), 16, test.data[seq:min(seq+1000, len(test.data))])
		}
		f := c.only(t)
		if string(f.Data) != test.data {
			t.Errorf("%s: the flow has other bytes than were sent", name)
		}
		if exposed := f.Exposed(); (exposed != "") != test.exposed {
			t.Errorf("%s: exposed %.100q, want %t", name, exposed, test.exposed)
		}
	}
}
