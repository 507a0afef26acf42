package proxy

import (
	"sallyport/audit"
	"sallyport/internal/stanza"
)

// said is what the record keeps of a stanza's content: as it leaves, or of one that does not, as it was tried. The first body and
// subject are text; a stanza that has anything else to say, if only an extension's element, is kept whole beside them, so that
// nothing crosses in a place where nobody looks. The part is valid as long as the load.
func (in *inbound) said(c *crossing) audit.ContentPart {
	el := c.el
	if c.changed != nil {
		if again, err := stanza.Reread(c.changed); err == nil {
			el = again
		}
	}
	r := &in.load.reading
	*r = reading{part: audit.ContentPart{Lang: in.lang.spoken}, more: el.Kind() != stanza.Message, text: in.load.said}
	if lang := el.Lang(); lang != nil {
		r.part.Lang = string(lang)
	}
	r.cursor.Begin(el)
	for r.cursor.Next() {
		if r.cursor.Start() {
			r.tag()
		} else if r.into != nil {
			r.take()
		}
	}
	if r.more {
		from := len(r.text)
		r.text = el.AppendTo(r.text, c.rewrite(in.lang.added))
		r.part.XML = r.text[from:]
	}
	in.load.said = r.text
	return r.part
}

// reading goes through a stanza once.
type reading struct {
	cursor        stanza.Cursor
	part          audit.ContentPart
	body, subject bool    // was met
	into          *[]byte // which of them the cursor is in
	more          bool    // there is something else
	text          []byte  // room for text that does not read as it is spelled
}

func (r *reading) tag() {
	depth := r.cursor.Depth()
	if depth == 0 {
		return
	}
	r.into = nil
	space, local := r.cursor.Name()
	core := depth == 1 && (string(space) == "jabber:server" || string(space) == "jabber:client")
	switch {
	case core && string(local) == "body" && !r.body:
		r.body, r.into = true, &r.part.Body
		r.cursor.Attrs(func(space, local, value []byte) {
			if string(local) == "lang" && len(space) > 0 {
				r.part.Lang = string(value)
			}
		})
	case core && string(local) == "subject" && !r.subject:
		r.subject, r.into = true, &r.part.Subject
	case core && string(local) == "thread": // it stands in the event
	default:
		r.more = true
	}
}

// take adds the character data at the cursor: a view of the stanza where all of it is one plain piece.
func (r *reading) take() {
	if text, plain := r.cursor.Plain(); plain && len(*r.into) == 0 {
		*r.into = text[:len(text):len(text)]
		return
	}
	from := len(r.text)
	r.text = append(r.text, *r.into...)
	r.text = r.cursor.Text(r.text)
	*r.into = r.text[from:len(r.text):len(r.text)]
}
