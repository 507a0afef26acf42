package peer

import (
	"slices"
	"strings"
	"testing"
)

// TestKeys checks both recipes against known answers: [K02] and [K03] for XEP-0185; the chained one is the reverse of nothing
// published, so its three steps are pinned by shape and by what it must not depend on ([K05]).
func TestKeys(t *testing.T) {
	t.Parallel()
	for _, v := range []struct{ secret, receiving, originating, id, want string }{
		{"s3cr3tf0rd14lb4ck", "xmpp.example.com", "example.org", "D60000229F", "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"},
		{"s3cr3tf0rd14lb4ck", "montague.example", "capulet.example", "D60000229F", "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3"},
		{"d14lb4ck43v3r", "capulet.example", "montague.example", "417GAF25", "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d"},
	} {
		if got := xep0185Key(v.secret, challenge{v.receiving, v.originating, v.id}); got != v.want {
			t.Errorf("key for %s = %s, want %s", v.receiving, got, v.want)
		}
	}
	key := chainedKey("secret", challenge{"r", "o", "1"})
	if len(key) != 40 || key != chainedKey("secret", challenge{"r", "another", "1"}) || key == chainedKey("secret", challenge{"r", "o", "2"}) || key == chainedKey("secret", challenge{"q", "o", "1"}) {
		t.Errorf("the chained key %s must bind the other domain and the id, and not our own", key)
	}
}

func TestSplitter(t *testing.T) {
	t.Parallel()
	items := []string{
		"<stream:stream xmlns='jabber:server' a=\"'>\">",
		"<message to='a>b'><body>x</body></message>",
		"<presence/>",
		"<iq type='get'><a><b/><b></b></a></iq>",
		"<message><body><![CDATA[</message>]]></body></message>",
		"<x:stream xmlns:x='s'>",
		"<message>\n</message>",
		"</stream:stream>",
	}
	for _, input := range []string{
		"<?xml version='1.0'?>" + strings.Join(items, ""),
		"<?xml version='1.0'?>\n " + strings.Join(items, " \n "),
	} {
		for size := 1; size <= len(input); size++ {
			var s Splitter
			var got []string
			for piece := range slices.Chunk([]byte(input), size) {
				s.Feed(piece, func(item []byte) bool {
					got = append(got, string(item))
					return true
				})
			}
			if !slices.Equal(got, items) {
				t.Fatalf("in pieces of %d: %q, want %q", size, got, items)
			}
			if left := s.Incomplete(); len(left) != 0 {
				t.Fatalf("in pieces of %d: %q is left", size, left)
			}
		}
	}
}

func TestWatcher(t *testing.T) {
	t.Parallel()
	const (
		header   = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>"
		starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
		record   = "\x17\x03\x03\x00\x05hello"
		hello    = "\x16\x03\x01\x00\x02ab"
		key      = "<db:result from='a' to='b'>0123abcd</db:result>"
		echoed   = "<db:result from='a' to='b' type='valid'>0123abcd</db:result>"
		stanza   = "<message to='a@b'><body>hi</body></message>"
	)
	for name, c := range map[string]struct {
		input            string
		secured, exposed int
	}{
		"TLS after starttls":        {header + starttls + hello + record + record, 27, 0},
		"TLS from the first byte":   {hello + record, 17, 0},
		"TLS after proceed":         {header + "<stream:features/><proceed xmlns='x'/>" + record, 10, 0},
		"an answer without key":     {header + "<db:verify id='x' from='a' to='b' type='valid'/>", 0, 0},
		"an error":                  {header + "<stream:error><x/></stream:error></stream:stream>", 0, 0},
		"a stanza in clear":         {header + stanza, 0, len(stanza)},
		"a key in clear":            {header + key, 0, len(key)},
		"a key echoed in clear":     {header + echoed, 0, len(echoed)},
		"half a stanza":             {header + stanza[:20], 0, 20},
		"a stanza behind starttls":  {header + starttls + stanza, 0, len(stanza)},
		"a stanza behind a record":  {header + starttls + record + stanza, 10, len(stanza)},
		"a record of absurd length": {header + starttls + "\x17\x03\x03\xff\xff", 0, 5},
		"something unknown":         {header + "<gossip/>", 0, len("<gossip/>")},
	} {
		for _, size := range []int{1, 3, len(c.input)} {
			var w watcher
			var sum Crossed
			for piece := range slices.Chunk([]byte(c.input), size) {
				sum = sum.Add(w.look(piece))
			}
			sum = sum.Add(w.finish())
			if int(sum.Secured) != c.secured || int(sum.Exposed) != c.exposed {
				t.Errorf("%s, in pieces of %d: %d secured, %d exposed, want %d and %d (%q)", name, size, sum.Secured, sum.Exposed, c.secured, c.exposed, sum.Samples)
			}
			if c.exposed == 0 && int(sum.Clear+sum.Secured) != len(c.input) {
				t.Errorf("%s, in pieces of %d: %d+%d bytes seen of %d", name, size, sum.Clear, sum.Secured, len(c.input))
			}
		}
	}
}

func BenchmarkSplitter300B(b *testing.B) {
	stanza := "<message from='a@left.example' to='b@right.example' type='chat' id='1'><body>" + strings.Repeat("x", 214) + "</body></message>"
	piece := []byte(strings.Repeat(stanza, 50))
	s := Splitter{Depth: 1}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		s.Feed(piece, func([]byte) bool { n++; return true })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/stanza")
}
