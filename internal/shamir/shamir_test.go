package shamir

import (
	"bytes"
	"slices"
	"testing"
)

// The field is that of AES: products from FIPS 197 §4.2 and §4.2.1, and every inverse.
func TestField(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]byte{{0x57, 0x83, 0xc1}, {0x57, 0x13, 0xfe}, {0x57, 0x02, 0xae}, {0x57, 0x04, 0x47}, {0x57, 0x08, 0x8e}, {0x57, 0x10, 0x07}, {0x53, 0xca, 0x01}, {0, 0x83, 0}} {
		if mul(c[0], c[1]) != c[2] || mul(c[1], c[0]) != c[2] {
			t.Errorf("%#x·%#x = %#x, want %#x", c[0], c[1], mul(c[0], c[1]), c[2])
		}
	}
	for a := 1; a < 256; a++ {
		if mul(byte(a), inverse(byte(a))) != 1 {
			t.Errorf("%#x·%#x is not 1", a, inverse(byte(a)))
		}
	}
}

// A polynomial worked out by hand: 0x2a + 0x57·x + 0x83·x² at 1, 2 and 3. x² is 1, 4 and 5.
func TestVector(t *testing.T) {
	t.Parallel()
	want := []byte{0x2a ^ 0x57 ^ 0x83, 0x2a ^ 0xae ^ mul(0x83, 4), 0x2a ^ (0x57 ^ 0xae) ^ (mul(0x83, 4) ^ 0x83)}
	var shares []Share
	for x := byte(1); x <= 3; x++ {
		y := value(0x2a, []byte{0x57, 0x83}, x)
		if y != want[x-1] {
			t.Errorf("at %d it is %#x, want %#x", x, y, want[x-1])
		}
		shares = append(shares, Share{x, []byte{y}})
	}
	if got, err := Join(shares); err != nil || !bytes.Equal(got, []byte{0x2a}) {
		t.Errorf("Join = %x, %v", got, err)
	}
}

func TestAnyEnoughSharesGiveTheSecret(t *testing.T) {
	t.Parallel()
	secret := []byte("\x00the key of a day\xff")
	const n = 5
	for k := 2; k <= n; k++ {
		shares, err := Split(secret, k, n)
		if err != nil || len(shares) != n {
			t.Fatal(len(shares), err)
		}
		for some := range 1 << n {
			var held []Share
			for i, s := range shares {
				if some>>i&1 == 1 {
					held = append(held, s)
				}
			}
			if len(held) == 0 {
				continue
			}
			slices.Reverse(held)
			got, err := Join(held)
			if err != nil {
				t.Fatal(err)
			}
			if same := bytes.Equal(got, secret); same != (len(held) >= k) {
				t.Errorf("%d of %d, with %d shares: the secret came back: %v", k, n, len(held), same)
			}
		}
	}
}

// Fewer shares than it takes say nothing: of k-1 shares of a byte, every value of the byte is possible, each with one polynomial.
func TestTooFewSharesSayNothing(t *testing.T) {
	t.Parallel()
	const x, y = 7, 0x99 // the share of a 2-of-n
	possible := map[byte]int{}
	for constant := range 256 {
		for slope := range 256 {
			if value(byte(constant), []byte{byte(slope)}, x) == y {
				possible[byte(constant)]++
			}
		}
	}
	if len(possible) != 256 {
		t.Errorf("%d secrets are possible", len(possible))
	}
	for secret, ways := range possible {
		if ways != 1 {
			t.Errorf("secret %#x has %d polynomials", secret, ways)
		}
	}
}

func TestSplitIsRandom(t *testing.T) {
	t.Parallel()
	secret := make([]byte, 32)
	a, _ := Split(secret, 2, 2)
	b, _ := Split(secret, 2, 2)
	if bytes.Equal(a[0].Y, b[0].Y) || bytes.Equal(a[0].Y, secret) {
		t.Error("two splits give the same share")
	}
}

func TestWhatIsNoSharing(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]int{{0, 3}, {1, 3}, {4, 3}, {2, 256}, {-1, -1}} {
		if _, err := Split([]byte("x"), c[0], c[1]); err == nil {
			t.Errorf("%d of %d was made", c[0], c[1])
		}
	}
	for name, shares := range map[string][]Share{
		"none": nil, "twice": {{1, []byte("a")}, {1, []byte("b")}}, "zero": {{0, []byte("a")}}, "lengths": {{1, []byte("a")}, {2, []byte("ab")}},
	} {
		if _, err := Join(shares); err == nil {
			t.Errorf("%s: joined", name)
		}
	}
}
