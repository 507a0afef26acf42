package dialback

import (
	"strings"
	"testing"
)

func mustSecret(t testing.TB, text string) Secret {
	t.Helper()
	s, err := NewSecret([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// weak is a secret as the specifications' examples have it, shorter than we would accept.
func weak(text string) Secret { return secretOf([]byte(text)) }

func TestKeyVectors(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, secret string
		c            Challenge
		key          string
	}{
		{"[K02] XEP-0185", "s3cr3tf0rd14lb4ck", Challenge{Receiving: "xmpp.example.com", Originating: "example.org", StreamID: "D60000229F"},
			"37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"},
		{"[K03] XEP-0220 §2.1.1", "s3cr3tf0rd14lb4ck", Challenge{Receiving: "montague.example", Originating: "capulet.example", StreamID: "D60000229F"},
			"b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3"},
		{"[K03] XEP-0220 §2.2.2", "d14lb4ck43v3r", Challenge{Receiving: "capulet.example", Originating: "montague.example", StreamID: "417GAF25"},
			"225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d"},
		{"W4", "outer-s3cret", Challenge{Receiving: "remote.example", Originating: "corp.example", StreamID: "rs-2b"},
			"019d29f03fc7c81ed8d4aa970538e8ce47f495f37669457fd28f4b3d35aa81a6"},
		{"W6", "outer-s3cret", Challenge{Receiving: "remote.example", Originating: "conference.corp.example", StreamID: "rs-2b"},
			"bc3ed60d8633f7356be985083a638041dda69c059593f2075189f644738bb2b4"},
		{"W12", "inner-s3cret", Challenge{Receiving: "corp.example", Originating: "remote.example", StreamID: "ls-9"},
			"b5020282bc1cbcdb3a9124278c0756cd44de5aca20ffb8852776c9676924d5d8"},
	} {
		if got := weak(v.secret).Key(v.c); got != v.key {
			t.Errorf("%s: key %s, want %s", v.name, got, v.key)
		}
		if !weak(v.secret).Verify(v.c, v.key) {
			t.Errorf("%s: the key does not verify", v.name)
		}
	}
}

func TestVerifyTrimsOuterWhiteSpaceOnly(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, "a secret of decent length")
	c := Challenge{Receiving: "a.example", Originating: "b.example", StreamID: "1"}
	key := s.Key(c)
	for _, v := range []struct {
		name, key string
		want      bool
	}{
		{"[B03] as it is", key, true},
		{"[B03] on a line of its own", "\r\n\t " + key + "\n", true},
		{"broken in the middle", key[:32] + " " + key[32:], false},
		{"a no-break space", "\u00a0" + key, false},
		{"upper case", strings.ToUpper(key), false},
		{"a digit less", key[:63], false},
		{"a digit more", key + "0", false},
		{"another digit", flip(key), false},
		{"empty", "", false},
		{"white", " ", false},
	} {
		if got := s.Verify(c, v.key); got != v.want {
			t.Errorf("%s: Verify = %v, want %v", v.name, got, v.want)
		}
	}
}

func flip(key string) string {
	if key[0] == '0' {
		return "1" + key[1:]
	}
	return "0" + key[1:]
}

// ABUSE 3, CVE-2016-0756: a key must be good for one pair and one stream only.
func TestKeyBindsPairAndStream(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, "a secret of decent length")
	challenges := []Challenge{
		{Receiving: "a", Originating: "bc", StreamID: "1"},
		{Receiving: "ab", Originating: "c", StreamID: "1"},
		{Receiving: "bc", Originating: "a", StreamID: "1"},
		{Receiving: "a", Originating: "b", StreamID: "c1"},
		{Receiving: "a", Originating: "bc", StreamID: "2"},
		{Receiving: "a", Originating: "bc", StreamID: "1 "},
		{Receiving: "a", Originating: "bc", StreamID: " 1"},
		{Receiving: "jabber.example", Originating: "victim.example", StreamID: "1"},
		{Receiving: "bber.example", Originating: "victim.exampleja", StreamID: "1"},
	}
	for i, c := range challenges {
		key := s.Key(c)
		for j, other := range challenges {
			if got := s.Verify(other, key); got != (i == j) {
				t.Errorf("ABUSE 3: key for %q verifies for %q: %v", c, other, got)
			}
		}
	}
}

func TestUnsoundChallengeHasNoKey(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, "a secret of decent length")
	for name, c := range map[string]Challenge{
		"ABUSE 3: space in the receiving domain":   {Receiving: "a b", Originating: "c", StreamID: "1"},
		"ABUSE 3: space in the originating domain": {Receiving: "a", Originating: "b c", StreamID: "1"},
		"[B11]: no stream id":                      {Receiving: "a", Originating: "b"},
		"no receiving domain":                      {Originating: "b", StreamID: "1"},
		"no originating domain":                    {Receiving: "a", StreamID: "1"},
	} {
		if key := s.Key(c); key != "" {
			t.Errorf("%s: got the key %s", name, key)
		}
		for _, key := range []string{"", " ", strings.Repeat("0", 64)} {
			if s.Verify(c, key) {
				t.Errorf("%s: %q verifies", name, key)
			}
		}
	}
}

func TestZeroSecretProvesNothing(t *testing.T) {
	t.Parallel()
	var zero Secret
	c := Challenge{Receiving: "a.example", Originating: "b.example", StreamID: "1"}
	if key := zero.Key(c); key != "" || !zero.IsZero() || !zero.Derive("outside").IsZero() {
		t.Errorf("the zero secret makes the key %q, and %v", key, zero.Derive("outside"))
	}
	for _, key := range []string{"", weak("").Key(c)} {
		if zero.Verify(c, key) {
			t.Errorf("the zero secret verifies %q", key)
		}
	}
}

func TestDerivedSecretsAreApart(t *testing.T) {
	t.Parallel()
	s := mustSecret(t, "a secret of decent length")
	c := Challenge{Receiving: "a.example", Originating: "b.example", StreamID: "1"}
	inside, outside := s.Derive("inside"), s.Derive("outside")
	if inside.Verify(c, outside.Key(c)) || outside.Verify(c, inside.Key(c)) || s.Verify(c, inside.Key(c)) || inside.Verify(c, s.Key(c)) {
		t.Error("D12: a key of one side is good on another")
	}
	if !s.Derive("inside").Verify(c, inside.Key(c)) {
		t.Error("[K04]: two nodes with one secret derive different ones")
	}
}

func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	before, after := mustSecret(t, "the secret of last year"), mustSecret(t, "the secret of this year")
	c := Challenge{Receiving: "a.example", Originating: "b.example", StreamID: "1"}
	rotating := Secrets{Current: after, Previous: before}
	if !rotating.Verify(c, before.Key(c)) || !rotating.Verify(c, after.Key(c)) {
		t.Error("[K04]: while secrets rotate, both verify")
	}
	if rotating.Key(c) != after.Key(c) {
		t.Error("[K04]: new keys are of the current secret")
	}
	done := Secrets{Current: after}
	if done.Verify(c, before.Key(c)) || done.Verify(c, "") {
		t.Error("[K04]: a dropped secret still verifies")
	}
	if derived := rotating.Derive("inside"); !derived.Verify(c, before.Derive("inside").Key(c)) || derived.Verify(c, before.Key(c)) {
		t.Error("D12: rotation and derivation do not go together")
	}
}

func BenchmarkVerify(b *testing.B) {
	s := mustSecret(b, "a secret of decent length")
	c := Challenge{Receiving: "remote.example", Originating: "corp.example", StreamID: "0123456789abcdef0123456789abcdef"}
	key := s.Key(c)
	b.ReportAllocs()
	for b.Loop() {
		if !s.Verify(c, key) {
			b.Fatal("the key does not verify")
		}
	}
}
