// Package shamir shares a secret among several people so that some of them together have it, and fewer learn nothing (A. Shamir, How
// to Share a Secret, 1979).
//
// Each byte of the secret is the value at 0 of a random polynomial over GF(2⁸), the field of AES with its polynomial x⁸+x⁴+x³+x+1. A
// share is the polynomials' values at the share's number. As many shares as the polynomials have coefficients give them back; with
// fewer, every secret is as likely as any other.
//
// Shares are not authenticated: from a wrong one comes a wrong secret. Whoever joins them has to check what comes out. Arithmetic
// takes the same time whatever the secret is.
package shamir

import (
	"crypto/rand"
	"errors"
	"fmt"
)

// Share is one person's part. Y is as long as the secret.
type Share struct {
	X byte // its number, from 1
	Y []byte
}

// Split makes n shares of a secret, any k of which give it back. The error is for numbers that make no sense: k must be from 2 to n, n
// at most 255.
func Split(secret []byte, k, n int) ([]Share, error) {
	if k < 2 || k > n || n > 255 {
		return nil, fmt.Errorf("%d of %d shares: the first must be from 2 to the second, which is at most 255", k, n)
	}
	random := make([]byte, k-1)
	defer clear(random)
	shares := make([]Share, n)
	for i := range shares {
		shares[i] = Share{X: byte(i + 1), Y: make([]byte, len(secret))}
	}
	for at, constant := range secret {
		rand.Read(random) // never fails: the program ends first
		for i := range shares {
			shares[i].Y[at] = value(constant, random, shares[i].X)
		}
	}
	return shares, nil
}

// value is that of a polynomial at x (Horner).
func value(constant byte, rest []byte, x byte) (y byte) {
	for i := len(rest) - 1; i >= 0; i-- {
		y = mul(y^rest[i], x)
	}
	return y ^ constant
}

// Join gives the secret back. With fewer shares than it takes the result is something else. The error is for shares that cannot be of
// one secret.
func Join(shares []Share) ([]byte, error) {
	if len(shares) == 0 {
		return nil, errors.New("no shares")
	}
	seen := [256]bool{}
	for _, s := range shares {
		switch {
		case s.X == 0 || seen[s.X]:
			return nil, fmt.Errorf("share %d is there twice, or is none", s.X)
		case len(s.Y) != len(shares[0].Y):
			return nil, errors.New("the shares are of different lengths")
		}
		seen[s.X] = true
	}
	secret := make([]byte, len(shares[0].Y))
	for i, s := range shares {
		// Lagrange's polynomial of this share, at 0: of all others, x/(x-x').
		weight := byte(1)
		for j, other := range shares {
			if j != i {
				weight = mul(weight, mul(other.X, inverse(other.X^s.X)))
			}
		}
		for at, y := range s.Y {
			secret[at] ^= mul(weight, y)
		}
	}
	return secret, nil
}

// mul multiplies in GF(2⁸), without a table and without a branch.
func mul(a, b byte) (p byte) {
	for range 8 {
		p ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return p
}

// inverse is a²⁵⁴: the order of the field's units is 255. Of 0 it is 0.
func inverse(a byte) byte {
	y := byte(1)
	for range 7 {
		a = mul(a, a)
		y = mul(y, a)
	}
	return y
}
