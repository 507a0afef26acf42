package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Record is one line of the record, read. Its strings are what was recorded, unescaped: show them through [Visible].
type Record struct {
	V        int            `json:"v" doc:"version of the line format: 1"`
	Seq      uint64         `json:"seq" doc:"number of the event at its node, without a gap"`
	Time     time.Time      `json:"time" doc:"when it was recorded, UTC, nine digits of a second"`
	ID       ID             `json:"id" doc:"26 characters, unique among all gates, in the order of seq at one of them; quoted in bounces"`
	Node     string         `json:"node" doc:"name of the gate"`
	Kind     string         `json:"kind" doc:"what the event is about"`
	Code     Code           `json:"code" doc:"stable number of the case"`
	Level    string         `json:"level,omitempty" doc:"how much of the stanza was recorded: link, metadata, sealed or content"`
	Asked    string         `json:"asked,omitempty" doc:"the level that was asked for, where less could be recorded: no sealing key could be written, and on_failure is pass"`
	Dir      string         `json:"dir,omitempty" doc:"in: from remote to local; out: the other way"`
	Local    string         `json:"local,omitempty" doc:"our domain"`
	Remote   string         `json:"remote,omitempty" doc:"the other domain, as far as it was authenticated"`
	From     string         `json:"from,omitempty" doc:"sender; of dialback events the domain to be proved"`
	To       string         `json:"to,omitempty" doc:"recipient; of dialback events the domain that asks"`
	Link     LinkRecord     `json:"link,omitzero" doc:"the connection"`
	Stanza   StanzaRecord   `json:"stanza,omitzero" doc:"the stanza, without content"`
	Decision DecisionRecord `json:"decision,omitzero" doc:"what policy said"`
	Change   ChangeRecord   `json:"change,omitzero" doc:"what was done to the stanza before it passed"`
	Cert     CertRecord     `json:"cert,omitzero" doc:"the peer's certificate"`

	Step      string `json:"step,omitempty" doc:"stage of the link's set-up"`
	Address   string `json:"address,omitempty" doc:"host and port that was called, or that called"`
	Condition string `json:"condition,omitempty" doc:"stanza or stream error condition (RFC 6120)"`
	Text      string `json:"text,omitempty" doc:"what was said with it; of audit.repair the beginning of what was cut off; of node.start the program's version"`
	Error     string `json:"error,omitempty" doc:"the reason, for the operator"`
	Advice    string `json:"advice,omitempty" doc:"what can be done"`
	NextTry   string `json:"next_try,omitempty" doc:"how long until the gate tries again by itself"`

	Of      []SeqRange `json:"of,omitempty" doc:"closed ranges of seq: the stanza events that this one settles; of audit.delete all that are deleted"`
	Outcome string     `json:"outcome,omitempty" doc:"acked, written, bounced, dropped, lost, replaced or untold"`
	Settled uint64     `json:"settled,omitempty" doc:"every allowed stanza with a lower seq is settled"`

	Count    uint64    `json:"count,omitempty" doc:"of stanzas or events"`
	Passed   uint64    `json:"passed,omitempty" doc:"of audit.gap: how many of them are stanzas that were let pass"`
	Since    time.Time `json:"since,omitzero" doc:"beginning of the span that count is about; the time before the clock went back; elsewhere when it happened, if it could not be recorded at once"`
	Until    time.Time `json:"until,omitzero" doc:"end of that span"`
	Segment  string    `json:"segment,omitempty" doc:"name of the file"`
	Bytes    uint64    `json:"bytes,omitempty" doc:"cut off; free on the disk"`
	SHA256   string    `json:"sha256,omitempty" doc:"of what was cut off, of a key's file, of an export; hexadecimal"`
	Revision string    `json:"revision,omitempty" doc:"of the policy or configuration that is in force"`
	Who      string    `json:"who,omitempty" doc:"the user who did it, as the system names it"`
	As       string    `json:"as,omitempty" doc:"the name that this user gave"`
	Why      string    `json:"why,omitempty" doc:"the reason that this user gave"`
	Query    string    `json:"query,omitempty" doc:"what was asked for"`
	Key      string    `json:"key,omitempty" doc:"name of a sealing key: CLASS/PERIOD-N"`

	Hash    HashRecord    `json:"hash,omitzero" doc:"keyed hashes of what the line does not tell"`
	Content ContentRecord `json:"content,omitzero" doc:"what the stanza says"`
	Cut     bool          `json:"cut,omitempty" doc:"a value was too long; it ends with an ellipsis"`
	Sealed  SealedRecord  `json:"sealed,omitzero" doc:"what the stanza says, for the officers alone"`
}

// LinkRecord describes the connection on which an event happened.
type LinkRecord struct {
	ID       string `json:"id,omitempty" doc:"the link's id, also in the log"`
	Channel  string `json:"channel,omitempty" doc:"plaintext or tls"`
	Proof    string `json:"proof,omitempty" doc:"none, dialback, dialback+tls, pkix, posh, dane or pin"`
	TLS      string `json:"tls,omitempty" doc:"protocol version"`
	Cipher   string `json:"cipher,omitempty" doc:"cipher suite"`
	ALPN     string `json:"alpn,omitempty" doc:"negotiated protocol"`
	RemoteIP string `json:"remote_ip,omitempty" doc:"the peer's address"`
	Route    string `json:"route,omitempty" doc:"the static route that was taken"`
}

// StanzaRecord describes a stanza.
type StanzaRecord struct {
	Kind   string   `json:"kind,omitempty" doc:"message, presence or iq"`
	Type   string   `json:"type,omitempty" doc:"its type attribute"`
	ID     string   `json:"id,omitempty" doc:"its id, as the sender chose it"`
	Size   int      `json:"size,omitempty" doc:"bytes on the wire"`
	Class  []string `json:"class,omitempty" doc:"classes of its payload"`
	E2EE   string   `json:"e2ee,omitempty" doc:"omemo, openpgp or otr: a cipher with nothing to be read beside it"`
	Label  string   `json:"label,omitempty" doc:"security label (XEP-0258)"`
	Thread string   `json:"thread,omitempty" doc:"conversation, as the sender named it"`
}

// DecisionRecord is what policy said.
type DecisionRecord struct {
	Effect   string `json:"effect,omitempty" doc:"allow, deny or drop"`
	Rule     string `json:"rule,omitempty" doc:"the rule that spoke"`
	Reason   string `json:"reason,omitempty" doc:"why"`
	Revision string `json:"revision,omitempty" doc:"of the policy"`
	Mode     string `json:"mode,omitempty" doc:"enforce or observe"`
	Would    string `json:"would,omitempty" doc:"the effect that policy asked for, where mode observe let the stanza pass"`
	Cached   bool   `json:"cached,omitempty" doc:"remembered rather than evaluated"`

	Retention string `json:"retention,omitempty" doc:"class under which the event is kept"`
}

// ChangeRecord is what was done to a stanza.
type ChangeRecord struct {
	Rules  []string `json:"rules,omitempty" doc:"that asked for it, in order"`
	Before string   `json:"before,omitempty" doc:"SHA-256 of the stanza as it came, hexadecimal"`
	After  string   `json:"after,omitempty" doc:"SHA-256 of the stanza as it left, hexadecimal"`
}

// CertRecord describes the peer's certificate.
type CertRecord struct {
	Facts    string `json:"facts,omitempty" doc:"in one line, for people"`
	SPKI     string `json:"spki,omitempty" doc:"SHA-256 of the public key, base64"`
	Issuer   string `json:"issuer,omitempty" doc:"distinguished name of the issuer"`
	NotAfter string `json:"not_after,omitempty" doc:"end of its validity"`
}

// MarshalJSON writes a range as it stands in a line: [first,last].
func (r SeqRange) MarshalJSON() ([]byte, error) { return json.Marshal([2]uint64{r.First, r.Last}) }

// UnmarshalJSON reads [first,last].
func (r *SeqRange) UnmarshalJSON(b []byte) error {
	var pair []uint64
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if len(pair) != 2 || pair[0] > pair[1] {
		return fmt.Errorf("range %s: must be [first,last]", b)
	}
	r.First, r.Last = pair[0], pair[1]
	return nil
}

// ParseRecord reads one line. Fields that a later version added are ignored. The error is for what is not a line of a record.
func ParseRecord(line []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(line, &r); err != nil {
		return r, fmt.Errorf("reading a line: %w", err)
	}
	if r.V != version {
		return r, fmt.Errorf("reading a line: format version %d, this program knows %d", r.V, version)
	}
	return r, nil
}

// head is the beginning of a line, which every event has alike. Reading it needs no JSON.
type head struct {
	seq  uint64
	time []byte // as written: of fixed length, so that order as text is order in time
	id   ID
	kind []byte
	code Code
}

// parseHead reads the beginning of a line, in the order in which the encoder writes it. It keeps parts of the line.
func parseHead(line []byte) (h head, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"v":1,"seq":`))
	if !ok {
		return h, false
	}
	if h.seq, rest, ok = digits(rest); !ok {
		return h, false
	}
	if h.time, rest, ok = fixed(rest, `,"time":"`, len(timeLayout)); !ok {
		return h, false
	}
	id, rest, ok := fixed(rest, `","id":"`, len(h.id))
	if !ok || copy(h.id[:], id) != len(h.id) {
		return h, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`","node":"`)); !ok {
		return h, false
	}
	// Quotes inside the node's name are escaped, so that this is found nowhere but at its end.
	_, rest, ok = bytes.Cut(rest, []byte(`","kind":"`))
	if !ok {
		return h, false
	}
	if h.kind, rest, ok = bytes.Cut(rest, []byte(`","code":`)); !ok {
		return h, false
	}
	code, rest, ok := digits(rest)
	h.code = Code(code)
	return h, ok && code <= 999 && len(rest) > 0 && line[len(line)-1] == '}'
}

// digits reads a number of at most 19 digits: what fits a uint64.
func digits(b []byte) (n uint64, rest []byte, ok bool) {
	i := 0
	for ; i < len(b) && i < 19 && '0' <= b[i] && b[i] <= '9'; i++ {
		n = n*10 + uint64(b[i]-'0')
	}
	return n, b[i:], i > 0
}

func fixed(b []byte, key string, n int) (value, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(b, []byte(key))
	if !ok || len(rest) < n {
		return nil, nil, false
	}
	return rest[:n], rest[n:], true
}

// settles reads from the line of a delivery event which seqs it settles, and below which all is settled.
func settles(line []byte) (of []SeqRange, settled uint64, err error) {
	if of, settled, ok := settlesPlain(line); ok {
		return of, settled, nil
	}
	var d struct {
		Of      []SeqRange `json:"of"`
		Settled uint64     `json:"settled"`
	}
	if err := json.Unmarshal(line, &d); err != nil {
		return nil, 0, fmt.Errorf("reading a delivery event: %w", err)
	}
	return d.Of, d.Settled, nil
}

// settlesPlain is settles for a line as the encoder writes it, without JSON. No value can hold the key: quotes within it are escaped.
func settlesPlain(line []byte) (of []SeqRange, settled uint64, ok bool) {
	_, rest, ok := bytes.Cut(line, []byte(`,"of":[`))
	for ok && len(rest) > 0 && rest[0] != ']' {
		var r SeqRange
		if r.First, rest, ok = after(rest, "["); !ok {
			return nil, 0, false
		}
		if r.Last, rest, ok = after(rest, ","); !ok || r.First > r.Last || len(rest) == 0 || rest[0] != ']' {
			return nil, 0, false
		}
		of = append(of, r)
		rest = bytes.TrimPrefix(rest[1:], []byte(","))
	}
	if _, rest, ok = bytes.Cut(rest, []byte(`,"settled":`)); !ok {
		return nil, 0, false
	}
	settled, rest, ok = digits(rest)
	return of, settled, ok && len(rest) > 0 && (rest[0] == '}' || rest[0] == ',')
}

// after reads a number behind a sign.
func after(b []byte, sign string) (n uint64, rest []byte, ok bool) {
	if rest, ok = bytes.CutPrefix(b, []byte(sign)); !ok {
		return 0, nil, false
	}
	return digits(rest)
}
