package xmpptest

import (
	"bytes"
	"errors"
	"time"
)

// element reads the next piece that a person would call one: a stream header (with its XML declaration), a first-level element,
// or a closing stream tag. It is a reader for well-formed output of our own gate, independent of the scanner under test.
func (p *part) element(patience time.Duration) (string, error) {
	if err := p.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	for {
		p.buf = bytes.TrimLeft(p.buf, " \r\n\t")
		if n := pieceLength(p.buf); n > 0 {
			piece := string(p.buf[:n])
			p.buf = p.buf[n:]
			return piece, nil
		}
		var b [4096]byte
		n, err := p.conn.Read(b[:])
		p.buf = append(p.buf, b[:n]...)
		if err != nil && n == 0 {
			return string(p.buf), errors.Join(errors.New("the connection ended or stayed silent"), err)
		}
	}
}

// pieceLength is the length of the first whole piece in b, 0 if there is none yet.
func pieceLength(b []byte) int {
	depth := 0
	for i := 0; i < len(b); {
		if b[i] != '<' {
			i++
			continue
		}
		end := tagEnd(b[i:])
		if end == 0 {
			return 0
		}
		tag := b[i : i+end]
		i += end
		switch {
		case tag[1] == '?':
			continue
		case bytes.HasPrefix(tag, []byte("<stream:stream")), bytes.HasPrefix(tag, []byte("</stream:stream")):
			return i
		case tag[1] == '/':
			depth--
		case tag[len(tag)-2] != '/':
			depth++
		}
		if depth == 0 {
			return i
		}
	}
	return 0
}

// tagEnd is the length of the tag that b begins with, minding quotes; 0 if it is not whole.
func tagEnd(b []byte) int {
	var quote byte
	for i, ch := range b {
		switch {
		case quote != 0:
			if ch == quote {
				quote = 0
			}
		case ch == '\'' || ch == '"':
			quote = ch
		case ch == '>':
			return i + 1
		}
	}
	return 0
}
