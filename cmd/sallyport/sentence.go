package main

import (
	"fmt"
	"strings"

	"sallyport/audit"
)

// sentence puts an event on one line for people. All that came from outside is made harmless for a terminal.
func sentence(r audit.Record) string {
	parts := []string{r.Time.Local().Format("2006-01-02 15:04:05.000"), fmt.Sprintf("%-7d", r.Seq), fmt.Sprintf("%-16s", r.Kind)}
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
		add("%s seq %s", r.Outcome, span(r.Of))
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
	return audit.Visible(strings.Join(parts, " "))
}

// between says from whom to whom: the addresses of a stanza, else the domains of a link.
func between(r audit.Record) string {
	from, to := r.From, r.To
	if from == "" && to == "" {
		if from, to = r.Local, r.Remote; r.Dir == "in" {
			from, to = to, from
		}
	}
	if from == "" && to == "" {
		return ""
	}
	return from + " → " + to
}

func span(of []audit.SeqRange) string {
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
