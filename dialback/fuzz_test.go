package dialback

import (
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

// read reads an element with another parser than ours, in a stream header's namespaces.
func read(element string) (Message, bool) {
	d := xml.NewDecoder(strings.NewReader("<s xmlns='jabber:server' xmlns:db='" + Namespace + "'>" + element + "</s>"))
	var doc struct {
		Elements []struct {
			XMLName xml.Name
			From    string `xml:"from,attr"`
			To      string `xml:"to,attr"`
			ID      string `xml:"id,attr"`
			Type    string `xml:"type,attr"`
			Key     string `xml:",chardata"`
			Error   struct {
				Type string                       `xml:"type,attr"`
				Text string                       `xml:"urn:ietf:params:xml:ns:xmpp-stanzas text"`
				Any  []struct{ XMLName xml.Name } `xml:",any"`
			} `xml:"jabber:server error"`
		} `xml:",any"`
	}
	if d.Decode(&doc) != nil || len(doc.Elements) != 1 {
		return Message{}, false
	}
	if _, err := d.Token(); err != io.EOF {
		return Message{}, false
	}
	e := doc.Elements[0]
	m := Message{Verify: e.XMLName.Local == "verify", From: e.From, To: e.To, ID: e.ID, Type: e.Type, Key: e.Key, ErrorType: e.Error.Type, Text: e.Error.Text}
	if len(e.Error.Any) > 0 {
		m.Condition = e.Error.Any[0].XMLName.Local
	}
	return m, e.XMLName.Space == Namespace && (m.Verify || e.XMLName.Local == "result")
}

// FuzzDialback: whatever element another server sends, what we make of it and write again says the same, and cannot be read as
// anything else; our answer to it answers it and nothing else.
func FuzzDialback(f *testing.F) {
	for _, element := range []string{
		`<db:result from='corp.example' to='remote.example'>019d29f0</db:result>`,
		`<db:result from='remote.example' to='corp.example' type='valid'/>`,
		`<db:result from='remote.example' to='corp.example' type='valid'>019d29f0</db:result>`,
		`<db:verify from='remote.example' to='corp.example' id='rs-2b'> 019d </db:verify>`,
		`<x:verify xmlns:x='jabber:server:dialback' from='a' to='b' id='&lt;&#9;&apos;'>&amp;<![CDATA[<]]></x:verify>`,
		`<db:result from='L' to='R' type='error'><error type='wait'><remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>later</text></error></db:result>`,
		`<db:result from='' to='&#xFFFD;' type='error'/>`,
	} {
		f.Add(element)
	}
	f.Fuzz(func(t *testing.T, element string) {
		m, ok := read(element)
		if !ok || m.Check() != nil {
			return
		}
		written := string(m.AppendTo(nil))
		again, ok := read(written)
		if !ok {
			t.Fatalf("%s is written as %s, which cannot be read", element, written)
		}
		if want := essence(m); again.essence() != want {
			t.Fatalf("%s is written as %s: %+v became %+v", element, written, want, again)
		}
		if m.Type != "" {
			return
		}
		for _, reply := range []Message{m.Reply(Valid), m.Reply(Invalid), ErrorReply(m, "forbidden")} {
			heard, ok := read(string(reply.AppendTo(nil)))
			if !ok || heard.Check() != nil || !heard.Answers(m) || heard.Verdict() != reply.Verdict() {
				t.Fatalf("%s does not answer %s", reply.AppendTo(nil), element)
			}
		}
	})
}

func essence(m Message) Message { return m.essence() }

// essence is what of a message survives being written: no key in answers, no id in results, an error only with that type.
func (m Message) essence() Message {
	m.Key = trim(m.Key)
	if m.Type != "" {
		m.Key = ""
	}
	if !m.Verify {
		m.ID = ""
	}
	if m.Type != "error" {
		m.Condition, m.ErrorType, m.Text = "", "", ""
		return m
	}
	if !plainName(m.Condition) {
		m.Condition = "undefined-condition"
	}
	if m.ErrorType == "" {
		m.ErrorType = errorType(m.Condition)
	}
	return m
}
