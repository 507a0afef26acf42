package main

import (
	"fmt"
	"strings"
	"time"

	"sallyport/audit"
)

// sentence puts an event on one line for people. All that came from outside is made harmless for a terminal.
func sentence(r audit.Record) string {
	parts := []string{instant(r.Time), fmt.Sprintf("%-7d", r.Seq), fmt.Sprintf("%-16s", r.Kind)}
	add := func(format string, v ...any) { parts = append(parts, fmt.Sprintf(format, v...)) }
	if r.Decision.Effect != "" {
		add("%-5s", r.Decision.Effect)
	}
	if who := between(r); who != "" {
		parts = append(parts, who)
	}
	if st := r.Stanza; st.Kind != "" {
		parts = append(parts, strings.TrimSpace(st.Kind+" "+st.Type))
		add("(%d bytes)", st.Size)
	}
	if r.Link.Channel != "" && r.Kind != "stanza" {
		add("%s/%s", r.Link.Channel, r.Link.Proof)
	}
	if len(r.Of) > 0 {
		add("%s seq %s", r.Outcome, ranges(r.Of))
	}
	for _, kv := range [][2]string{
		{"rule", r.Decision.Rule}, {"reason", r.Decision.Reason}, {"step", r.Step}, {"address", r.Address}, {"condition", r.Condition}, {"error", r.Error},
		{"cert", r.Cert.Facts}, {"advice", r.Advice}, {"text", r.Text}, {"next_try", r.NextTry},
		{"who", r.Who}, {"as", r.As}, {"why", r.Why}, {"query", r.Query}, {"key", r.Key},
	} {
		if kv[1] != "" && kv[1] != "allow" {
			add("%s=%q", kv[0], kv[1])
		}
	}
	parts = append(parts, "id="+r.ID.String())
	return audit.Visible(strings.Join(parts, " "))
}

// instant writes a time of an event in the local zone and with it, as --since takes it.
func instant(t time.Time) string { return t.Local().Format("2006-01-02T15:04:05.000Z07:00") }

// second is instant for what needs no more than seconds.
func second(t time.Time) string { return t.Local().Format(time.RFC3339) }

// between says from whom to whom: the addresses of a stanza, else the domains of a link.
func between(r audit.Record) string {
	from, to := ends(r)
	if from == "" && to == "" {
		return ""
	}
	return from + " → " + to
}

func ends(r audit.Record) (from, to string) {
	switch {
	case r.From != "" || r.To != "":
		return r.From, r.To
	case r.Dir == "in":
		return r.Remote, r.Local
	}
	return r.Local, r.Remote
}

func ranges(of []audit.SeqRange) string {
	var all []string
	for _, r := range of {
		if r.First == r.Last {
			all = append(all, fmt.Sprint(r.First))
		} else {
			all = append(all, fmt.Sprintf("%d–%d", r.First, r.Last))
		}
	}
	return strings.Join(all, ", ")
}
