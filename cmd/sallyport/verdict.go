package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"sallyport/audit"
	"sallyport/policy"
)

// verdict is what the policy says of an input, for people and programs.
type verdict struct {
	About      string   `json:"about"` // link or stanza
	Effect     string   `json:"effect"`
	Would      string   `json:"would,omitempty"`
	Rule       string   `json:"rule"`
	Reason     string   `json:"reason,omitempty"`
	Condition  string   `json:"condition,omitempty"`
	Message    string   `json:"message,omitempty"`
	Transforms []string `json:"transforms,omitempty"` // rule: what it does
	Revision   string   `json:"revision"`
	Reads      []string `json:"reads"`
	Where      []string `json:"where,omitempty"`
	Data       []string `json:"data,omitempty"`
	Remedy     []string `json:"remedy,omitempty"`
}

// judged asks about the stanza of an input or, where it has none, about the link; a stanza's link is asked about first, as at the gate.
func judged(ctx context.Context, s *policy.Snapshot, in *policy.Input) verdict {
	link := s.Link(ctx, in)
	if in.Stanza.Kind == "" || link.Effect != policy.Allow {
		v := verdict{About: "link", Effect: link.Effect.String(), Rule: link.Rule, Reason: link.Reason, Condition: link.Condition, Message: link.Message}
		return v.explained(s, in, link.Effect, link.Would)
	}
	d := s.Decide(ctx, in)
	v := verdict{About: "stanza", Effect: d.Effect.String(), Rule: d.Rule, Reason: d.Reason, Condition: d.Condition, Message: d.Message}
	for _, t := range d.Transforms {
		v.Transforms = append(v.Transforms, t.Rule+": "+t.Do.String())
	}
	return v.explained(s, in, d.Effect, d.Would)
}

func (v verdict) explained(s *policy.Snapshot, in *policy.Input, effect, would policy.Effect) verdict {
	e := s.Explain(v.Rule, in, v.About == "link")
	v.Revision, v.Where, v.Data = s.Revision(), e.Where, e.Data
	for _, f := range e.Reads {
		v.Reads = append(v.Reads, f.String())
	}
	if would != effect {
		v.Would = would.String()
	}
	if effect != policy.Allow || would != policy.Allow {
		v.Remedy = e.Remedy
	}
	return v
}

func (v verdict) print(w io.Writer) error {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-12s %s\n", name, audit.Visible(value))
		}
	}
	line("about", "the "+v.About)
	line("effect", v.Effect)
	line("would be", v.Would)
	line("rule", v.Rule)
	line("because", v.Reason)
	line("sender told", strings.TrimSpace(v.Condition+" "+v.Message))
	for _, t := range v.Transforms {
		line("changes", t)
	}
	line("revision", v.Revision)
	line("written at", strings.Join(v.Where, ", "))
	line("looks at", strings.Join(v.Data, ", "))
	line("depends on", strings.Join(v.Reads, ", "))
	for i, r := range v.Remedy {
		name := "would pass"
		if i > 0 {
			name = "or with"
		} else {
			r = "with " + r
		}
		line(name, r)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
