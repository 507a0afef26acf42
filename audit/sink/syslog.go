package sink

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sallyport/audit"
)

// settleTime is how long a connection must have stood after a message for it to count as arrived: syslog has no acknowledgement.
const settleTime = 5 * time.Second

// facility is "log audit" (RFC 5424 §6.2.1).
const facility = 13

// Severities (RFC 5424 §6.2.1).
const (
	warning       = 4
	informational = 6
)

// collector is a connection to a syslog server.
type collector struct {
	conn   *tls.Conn
	cfg    Config
	node   string
	buf    []byte
	ended  chan error
	done   audit.Place // all before it has settled
	behind []mark      // what has not, by age
}

// mark is when all before a place had been written.
type mark struct {
	at    audit.Place
	since time.Time
}

func dialSyslog(ctx context.Context, cfg Config, node string, from audit.Place) (receiver, audit.Place, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, from, fmt.Errorf("url: not a URL")
	}
	address := u.Host
	if u.Port() == "" {
		address += ":6514" // RFC 5425 §4.1
	}
	config, err := cfg.tls()
	if err != nil {
		return nil, from, err
	}
	dialer := tls.Dialer{Config: config}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, from, err
	}
	c := &collector{conn: conn.(*tls.Conn), cfg: cfg, node: node, ended: make(chan error, 1), done: from}
	// A server says nothing. That it ends shows at once to who reads.
	go func() {
		_, err := io.Copy(io.Discard, bufio.NewReader(c.conn))
		if err == nil {
			err = io.EOF
		}
		c.ended <- fmt.Errorf("the server closed the connection: %w", err)
	}()
	return c, from, nil
}

func (c *collector) close() { c.conn.Close() }

// send writes messages. All before the place that it returns was written settleTime ago, and the connection still stands.
func (c *collector) send(ctx context.Context, events []event, at audit.Place) (audit.Place, error) {
	now := time.Now()
	if err := c.alive(); err != nil {
		return c.done, err
	}
	c.buf = c.buf[:0]
	for i := range events {
		e := &events[i]
		severity := informational
		if e.Decision.Effect == "deny" || e.Error != "" {
			severity = warning
		}
		c.buf = c.frame(c.buf, header{severity: severity, time: e.Time, host: e.Node, id: e.Kind, data: [][2]string{
			{"id", e.ID.String()}, {"seq", strconv.FormatUint(e.Seq, 10)}, {"code", strconv.Itoa(int(e.Code))}}}, string(e.line))
	}
	if err := c.write(ctx); err != nil {
		return c.done, err
	}
	for len(c.behind) > 0 && now.Sub(c.behind[0].since) > settleTime {
		c.done = c.behind[0].at
		c.behind = c.behind[1:]
	}
	if len(events) > 0 {
		c.behind = append(c.behind, mark{at, now})
	}
	return c.done, nil
}

// post sends a checkpoint. It has several lines, and is sent as it is: it is no longer valid otherwise.
func (c *collector) post(ctx context.Context, p checkpoint) error {
	if err := c.alive(); err != nil {
		return err
	}
	c.buf = c.frame(c.buf[:0], header{severity: informational, time: p.time, host: p.node, id: "checkpoint", data: [][2]string{{"id", p.id}}}, p.text)
	return c.write(ctx)
}

func (c *collector) alive() error {
	select {
	case err := <-c.ended:
		c.ended <- err
		return err
	default:
		return nil
	}
}

func (c *collector) write(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		c.conn.SetWriteDeadline(deadline)
	}
	_, err := c.conn.Write(c.buf)
	return err
}

// header is what stands before a message.
type header struct {
	severity int
	time     time.Time
	host, id string
	data     [][2]string
}

// frame appends a message with its length before it (RFC 5425 §4.3). What exceeds the receiver's limit is cut at a character's end, and the
// structured data says how long it was.
func (c *collector) frame(buf []byte, h header, text string) []byte {
	message := appendSyslog(nil, h, text)
	if len(message) > c.cfg.Message {
		whole := len(text)
		h.data = append(h.data, [2]string{"cut", strconv.Itoa(whole)})
		room := max(c.cfg.Message-len(appendSyslog(nil, h, "")), 0)
		message = appendSyslog(nil, h, text[:charsWithin(text, room)])
	}
	buf = strconv.AppendInt(buf, int64(len(message)), 10)
	buf = append(buf, ' ')
	return append(buf, message...)
}

// charsWithin is how much of a text goes into so many bytes, in whole characters.
func charsWithin[T string | []byte](text T, room int) int {
	for room = min(room, len(text)); room > 0 && room < len(text) && !utf8.RuneStart(text[room]); room-- {
	}
	return room
}

// appendSyslog writes RFC 5424 §6. The SD-ID's number is the one that is reserved for documentation (RFC 5612): we have none of our own.
func appendSyslog(b []byte, h header, text string) []byte {
	b = fmt.Appendf(b, "<%d>1 %s %s sallyport %d %s [record@32473", facility*8+h.severity, h.time.UTC().Format("2006-01-02T15:04:05.000000Z"),
		printable(h.host, 255), os.Getpid(), printable(h.id, 32))
	for _, p := range h.data {
		b = fmt.Appendf(b, ` %s="%s"`, p[0], paramValue.Replace(p[1]))
	}
	// RFC 5424 §6.4: a message in UTF-8 begins with the byte order mark.
	b = append(b, "] \xEF\xBB\xBF"...)
	return append(b, text...)
}

// paramValue escapes what RFC 5424 §6.3.3 says.
var paramValue = strings.NewReplacer(`"`, `\"`, `\`, `\\`, `]`, `\]`)

// printable is PRINTUSASCII of RFC 5424 §6, "-" for nothing.
func printable(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < 33 || r > 126 {
			return '?'
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), most)]
}
