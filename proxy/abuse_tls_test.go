package proxy_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/xmpptest"
	"sallyport/policy"
)

// untilTLS plays a conversation up to the handshake and gives the connection on which it is due.
func untilTLS(t *testing.T, s *stage, calling bool) (*xmpptest.Conversation, net.Conn) {
	t.Helper()
	c := xmpptest.Begin(t, s.Stage)
	if calling {
		c.Play(include(t, "_backend_speaks") + strings.Split(include(t, "_gate_calls"), "r tls server")[0])
	} else {
		c.Play(strings.Split(include(t, "_tls"), "r tls client")[0])
	}
	conn := c.Conn("r")
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	return c, conn
}

// ABUSE 24, [T06]: TLS 1.2 with forward secrecy and authenticated encryption is the least, in both roles.
func TestABUSE24TLSFloor(t *testing.T) {
	t.Parallel()
	for name, weaken := range map[string]func(*tls.Config){
		"TLS 1.1": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
		"TLS 1.0": func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 },
		"CBC": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		},
		"that suffices": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{})
			for _, calling := range []bool{false, true} {
				_, conn := untilTLS(t, s, calling)
				role, config := tls.Client, s.Client["good"].Clone()
				if calling {
					role, config = tls.Server, s.Server["good"].Clone()
				}
				weaken(config)
				if err := role(conn, config).Handshake(); (err == nil) != (name == "that suffices") {
					t.Errorf("calling %v: %v", calling, err)
				}
				conn.Close()
			}
			if name != "that suffices" {
				xmpptest.Converse(t, s.Stage, "record has link.fail \"step\":\"tls\"\nrecord lacks link.open \"channel\":\"tls\"")
			}
		})
	}
}

// ABUSE 22, [T06]: TLS compression is neither taken nor offered.
func TestABUSE22TLSCompression(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	_, conn := untilTLS(t, s, false)
	_, err := conn.Write(offerDeflate(t, clientHello(t)))
	must(t, err)
	if method := compressions(t, record(t, conn), false); !bytes.Equal(method, []byte{0}) {
		t.Errorf("the gate chose compression % x", method)
	}
	conn.Close()
	_, conn = untilTLS(t, s, true)
	if methods := compressions(t, record(t, conn), true); !bytes.Equal(methods, []byte{0}) {
		t.Errorf("the gate offers compressions % x", methods)
	}
}

// clientHello is the record with which a TLS 1.2 client begins.
func clientHello(t *testing.T) []byte {
	t.Helper()
	near, far := net.Pipe()
	defer far.Close()
	go tls.Client(near, &tls.Config{ServerName: local, MaxVersion: tls.VersionTLS12}).Handshake()
	return record(t, far)
}

// record reads one TLS record with its header.
func record(t *testing.T, conn net.Conn) []byte {
	t.Helper()
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	b := make([]byte, 5, 1<<14)
	_, err := io.ReadFull(conn, b)
	must(t, err)
	b = b[:5+int(binary.BigEndian.Uint16(b[3:]))]
	_, err = io.ReadFull(conn, b[5:])
	must(t, err)
	return b
}

// methodsAt is where the compression methods of a hello begin (RFC 5246 §7.4.1.2), behind their length in a client's.
func methodsAt(hello []byte, client bool) int {
	at := 5 + 4 + 2 + 32
	at += 1 + int(hello[at])
	if client {
		return at + 2 + int(binary.BigEndian.Uint16(hello[at:])) + 1
	}
	return at + 2
}

func compressions(t *testing.T, hello []byte, client bool) []byte {
	t.Helper()
	if want := map[bool]byte{true: 1, false: 2}[client]; hello[0] != 22 || hello[5] != want {
		t.Fatalf("not a hello: % x", hello[:6])
	}
	at := methodsAt(hello, client)
	if client {
		return hello[at : at+int(hello[at-1])]
	}
	return hello[at : at+1]
}

// offerDeflate puts DEFLATE ahead of no compression.
func offerDeflate(t *testing.T, hello []byte) []byte {
	t.Helper()
	at := methodsAt(hello, true)
	hello = append(append(bytes.Clone(hello[:at]), 1), hello[at:]...)
	hello[at-1]++
	binary.BigEndian.PutUint16(hello[3:], uint16(len(hello)-5))
	hello[5] = 1
	hello[6], hello[7], hello[8] = 0, byte((len(hello)-9)>>8), byte(len(hello)-9)
	return hello
}

// ABUSE 24 (CVE-2021-32920), [T06]: a peer that wants to negotiate again, in a TLS 1.2 connection that stands, is cut off, in both roles:
// it gets an alert, and no second handshake.
func TestABUSE24Renegotiation(t *testing.T) {
	t.Parallel()
	for name, calling := range map[string]bool{"called": false, "calling": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, options{})
			_, conn := untilTLS(t, s, calling)
			tap := &tapped{Conn: conn}
			var keys bytes.Buffer
			role, config, message := tls.Client, s.Client["good"].Clone(), []byte(nil)
			if calling {
				role, config, message = tls.Server, s.Server["good"].Clone(), []byte{0, 0, 0, 0} // a hello request
			}
			config.MaxVersion, config.CipherSuites, config.KeyLogWriter = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, &keys
			must(t, role(tap, config).Handshake())
			sent, came := tap.bytes()
			if !calling {
				message = sent[5 : 5+int(binary.BigEndian.Uint16(sent[3:]))] // the same client hello once more
			}
			hellos := [2][]byte{sent, came} // of the client, of the server
			if calling {
				hellos[0], hellos[1] = came, sent
			}
			_, err := conn.Write(sealed(t, keys.String(), hellos[1][11:43], !calling, message))
			must(t, err)
			rest, err := io.ReadAll(conn)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the connection still stands; came % x", rest)
			}
			alerts := 0
			for len(rest) >= 5 {
				switch rest[0] {
				case 21:
					alerts++
				case 22:
					t.Error("the gate began another handshake")
				}
				rest = rest[min(len(rest), 5+int(binary.BigEndian.Uint16(rest[3:]))):]
			}
			if alerts == 0 {
				t.Error("no alert came")
			}
		})
	}
}

// tapped keeps what passes by.
type tapped struct {
	net.Conn
	mu         sync.Mutex
	sent, came []byte
}

func (c *tapped) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.sent = append(c.sent, b...)
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *tapped) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	c.came = append(c.came, b[:n]...)
	c.mu.Unlock()
	return n, err
}

func (c *tapped) bytes() (sent, came []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.sent), bytes.Clone(c.came)
}

// sealed makes the second encrypted record of a side, with a handshake message (RFC 5246 §6.3, RFC 5288 §3). The first was Finished.
func sealed(t *testing.T, keyLog string, serverRandom []byte, client bool, message []byte) []byte {
	t.Helper()
	words := strings.Fields(keyLog)
	if len(words) != 3 || words[0] != "CLIENT_RANDOM" {
		t.Fatalf("key log %q", keyLog)
	}
	random, err := hex.DecodeString(words[1])
	must(t, err)
	master, err := hex.DecodeString(words[2])
	must(t, err)
	block := prf(master, append([]byte("key expansion"), append(bytes.Clone(serverRandom), random...)...), 40)
	key, iv := block[0:16], block[32:36]
	if !client {
		key, iv = block[16:32], block[36:40]
	}
	cipherBlock, err := aes.NewCipher(key)
	must(t, err)
	aead, err := cipher.NewGCM(cipherBlock)
	must(t, err)
	seq := []byte{0, 0, 0, 0, 0, 0, 0, 1}
	header := []byte{22, 3, 3}
	about := binary.BigEndian.AppendUint16(append(bytes.Clone(seq), header...), uint16(len(message)))
	body := aead.Seal(bytes.Clone(seq), append(bytes.Clone(iv), seq...), message, about)
	return append(binary.BigEndian.AppendUint16(header, uint16(len(body))), body...)
}

// prf is P_SHA256 of RFC 5246 §5.
func prf(secret, seed []byte, n int) []byte {
	hash := func(b []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(b)
		return h.Sum(nil)
	}
	var out []byte
	for a := hash(seed); len(out) < n; a = hash(a) {
		out = append(out, hash(append(bytes.Clone(a), seed...))...)
	}
	return out[:n]
}

// A peer that comes back with a session of before the reload is judged like any other: sessions are not resumed, and its certificate proves
// what the policy of now lets it prove.
func TestReloadAndResumedSession(t *testing.T) {
	t.Parallel()
	s := newStage(t, options{})
	s.Client["good"].ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s.Client["good"].MaxVersion = version
		must(t, s.engine.Reload(policy.Data{"federation": "open"}))
		s.proxy.Apply(s.settings(options{}))
		xmpptest.Converse(t, s.Stage, include(t, "_remote_proved"))
		must(t, s.engine.Reload(policy.Data{"federation": "listed"}))
		s.proxy.Apply(s.settings(options{}))
		c := xmpptest.Begin(t, s.Stage)
		c.Play(strings.ReplaceAll(include(t, "_tls"), "<required/>", "") + "r sends <db:result from='remote.example' to='corp.example'>k</db:result>\n" + failed("r", "policy-violation") + "r receives </stream:stream>")
		if c.Conn("r").(*tls.Conn).ConnectionState().DidResume {
			t.Error("the session was resumed")
		}
		c.End()
	}
}
