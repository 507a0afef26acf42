package audit

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CEF writes events in ArcSight's Common Event Format, version 0, one a line. program is the version that stands in them.
func CEF(w io.Writer, program string) func(Hit) error {
	return func(h Hit) error {
		r := &h.Record
		var b strings.Builder
		fmt.Fprintf(&b, "CEF:0|Sallyport|sallyport|%s|%d|%s|%d|", cefHeader(program), r.Code, cefHeader(r.Kind), severity(r))
		sep := ""
		for _, kv := range [][2]string{
			{"rt", strconv.FormatInt(r.Time.UnixMilli(), 10)}, {"externalId", r.ID.String()}, {"dvchost", r.Node}, {"act", r.Decision.Effect}, {"outcome", r.Outcome},
			{"app", "xmpp"}, {"deviceDirection", map[string]string{"in": "0", "out": "1"}[r.Dir]}, {"suser", r.From}, {"duser", r.To}, {"src", r.Link.RemoteIP},
			{"in", zeroless(r.Stanza.Size)}, {"cnt", zeroless(int(r.Count))}, {"reason", r.Decision.Reason}, {"msg", firstOf(r.Error, r.Text)},
			{"cs1Label", "rule"}, {"cs1", r.Decision.Rule}, {"cs2Label", "class"}, {"cs2", strings.Join(r.Stanza.Class, " ")},
			{"cs3Label", "local"}, {"cs3", r.Local}, {"cs4Label", "remote"}, {"cs4", r.Remote}, {"cs5Label", "stanza"}, {"cs5", r.Stanza.ID},
			{"cn1Label", "seq"}, {"cn1", strconv.FormatUint(r.Seq, 10)},
		} {
			if kv[1] != "" {
				b.WriteString(sep + kv[0] + "=" + cefValue(kv[1]))
				sep = " "
			}
		}
		_, err := fmt.Fprintln(w, b.String())
		return err
	}
}

// severity of an event, from 0 to 10.
func severity(r *Record) int {
	switch {
	case strings.HasPrefix(r.Kind, "auth."), r.Kind == "downgrade", r.Kind == "audit.mismatch", r.Kind == "audit.gap":
		return 8
	case r.Decision.Effect == "deny", r.Decision.Effect == "drop":
		return 5
	case r.Error != "":
		return 4
	}
	return 1
}

// cefHeader and cefValue escape what the format asks for, after all that is not printable, so that an event is one line whatever is in it.
func cefHeader(s string) string {
	return strings.NewReplacer(`\`, `\\`, `|`, `\|`).Replace(Visible(s))
}

func cefValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, `=`, `\=`).Replace(Visible(s))
}

func zeroless(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// ecsVersion of the Elastic Common Schema.
const ecsVersion = "8.11.0"

// ECS writes events as JSON Lines in the fields of the Elastic Common Schema. What it has no field for stands below sallyport.
func ECS(w io.Writer) func(Hit) error {
	return func(h Hit) error {
		b, err := json.Marshal(ecs(&h.Record))
		if err != nil {
			return err
		}
		_, err = w.Write(append(escapeJSON(b), '\n'))
		return err
	}
}

type ecsFields = map[string]any

func ecs(r *Record) ecsFields {
	event := ecsFields{"id": r.ID, "kind": "event", "module": "sallyport", "dataset": "sallyport.audit", "provider": "sallyport", "action": r.Kind,
		"code": strconv.Itoa(int(r.Code)), "sequence": r.Seq, "category": []string{"network"}, "type": []string{ecsType(r)}, "severity": severity(r)}
	put(event, "reason", r.Decision.Reason)
	put(event, "outcome", map[string]string{"allow": "success", "deny": "failure", "drop": "failure"}[r.Decision.Effect])
	o := ecsFields{"@timestamp": r.Time.UTC().Format(timeLayout), "ecs": ecsFields{"version": ecsVersion}, "event": event,
		"observer": ecsFields{"name": r.Node, "vendor": "Sallyport", "product": "sallyport", "type": "proxy"},
		"network":  ecsFields{"protocol": "xmpp", "direction": map[string]string{"in": "inbound", "out": "outbound", "": "unknown"}[r.Dir]}}
	part := func(name string, kv ...string) {
		p := ecsFields{}
		for i := 0; i < len(kv); i += 2 {
			put(p, kv[i], kv[i+1])
		}
		if len(p) > 0 {
			o[name] = p
		}
	}
	source, destination := ecsSide(r.From), ecsSide(r.To)
	if remote := map[bool]ecsFields{true: source, false: destination}[r.Dir == "in"]; r.Link.RemoteIP != "" {
		remote["ip"] = r.Link.RemoteIP
	}
	if len(source) > 0 {
		o["source"] = source
	}
	if len(destination) > 0 {
		o["destination"] = destination
	}
	part("rule", "name", r.Decision.Rule, "version", r.Decision.Revision)
	part("tls", "version", strings.TrimPrefix(r.Link.TLS, "TLS "), "cipher", r.Link.Cipher)
	part("error", "message", r.Error, "code", r.Condition)
	put(o, "message", r.Text)
	part("sallyport", "effect", r.Decision.Effect, "level", r.Level, "local", r.Local, "remote", r.Remote, "outcome", r.Outcome, "link", r.Link.ID, "proof", r.Link.Proof,
		"channel", r.Link.Channel, "stanza_kind", r.Stanza.Kind, "stanza_type", r.Stanza.Type, "stanza_id", r.Stanza.ID, "who", r.Who, "why", r.Why, "query", r.Query)
	return o
}

func ecsType(r *Record) string {
	switch r.Decision.Effect {
	case "allow":
		return "allowed"
	case "deny", "drop":
		return "denied"
	}
	return "info"
}

// ecsSide is an address as source or destination.
func ecsSide(addr string) ecsFields {
	o := ecsFields{}
	if addr == "" {
		return o
	}
	domain := domainOf(addr)
	put(o, "address", addr)
	put(o, "domain", domain)
	if user, _, ok := strings.Cut(addr, "@"+domain); ok {
		o["user"] = ecsFields{"name": user, "domain": domain}
	}
	return o
}

func put(o ecsFields, key, value string) {
	if value != "" {
		o[key] = value
	}
}

// escapeJSON escapes what is not printable, which encoding/json mostly lets stand. All of it stands inside of strings.
func escapeJSON(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		c, size := utf8.DecodeRune(b)
		switch {
		case c < 0x80 || unicode.IsPrint(c) && c != utf8.RuneError:
			out = append(out, b[:size]...)
		case c > 0xffff:
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(c-0x10000)>>10, 0xdc00+(c-0x10000)&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, c)
		}
		b = b[size:]
	}
	return out
}
