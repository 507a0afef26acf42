package policy

import (
	"context"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

const (
	linkRule   = "data.sallyport.link.decision"
	stanzaRule = "data.sallyport.stanza.decision"
)

// Snapshot is one revision of the policy. Take one for a batch, so that all of it is judged by the same rules. Its methods
// may be called from any goroutine.
type Snapshot struct {
	revision     string
	observe      bool
	link, stanza *question
	written      *ast.Compiler // the rules as they are written; those of the questions are folded
	memo         *memo[Decision]
	links        *memo[LinkDecision]
	failures     *failures // of the engine
	patterns     *patterns
	dated        []Exception // those that end first before the others
}

// Revision names the rules and the data that decide: twelve hexadecimal digits, and behind them, with an @ each, what the makers of
// supplies call these.
func (s *Snapshot) Revision() string { return s.revision }

// Observing says that decisions do not hold ([Config].Mode).
func (s *Snapshot) Observing() bool { return s.observe }

// Reads tells whether a stanza decision can depend on an attribute. What it does not depend on need not be extracted.
func (s *Snapshot) Reads(f Field) bool { return s.stanza.set.Has(f) }

// ReadSet is all of the attributes for which [Snapshot.Reads] says yes.
func (s *Snapshot) ReadSet() FieldSet { return s.stanza.set }

// Stanza decides on a stanza. A decision that is remembered costs no evaluation and no allocation. One that took longer
// than [Config].Timeout, or than ctx lasts, denies, and so does whatever else goes wrong.
func (s *Snapshot) Stanza(ctx context.Context, in *Input) Decision {
	var k key
	fits := k.fill(in, s.stanza.reads)
	if fits {
		if r := s.memo.get(k.bytes[:k.n]); r != nil {
			return r.decision
		}
	}
	d, clock, err := s.judge(ctx, in)
	if err == nil && !clock && fits && d.brief() {
		kept := d
		kept.Cached = true
		s.memo.put(k.bytes[:k.n], kept)
	}
	return d
}

// judge evaluates. An err has become a denial already; it is not to be remembered, for the next try may fare better.
func (s *Snapshot) judge(ctx context.Context, in *Input) (d Decision, clock bool, err error) {
	answer, clock, err := s.stanza.ask(ctx, in)
	if err == nil {
		d, err = stanzaAnswer(answer, s.patterns)
	}
	if err != nil {
		d = Decision{Rule: RuleEngineError, Reason: oneLine(err), Condition: "internal-server-error"}
		s.failures.add(ctx, stanzaRule, s.revision, d.Reason)
	}
	d.Condition = conditionOf(d.Effect, d.Condition)
	d.Revision, d.Uncacheable = s.revision, clock
	if s.observe {
		d.Effect, d.Transforms = Allow, nil
	}
	return d, clock, err
}

// Link decides on a link. From, To and Stanza of the input are not looked at. Decisions are remembered as those on stanzas are: on its
// way up a link asks the same several times.
func (s *Snapshot) Link(ctx context.Context, in *Input) LinkDecision {
	var k key
	fits := k.fill(in, s.link.reads)
	d, known := LinkDecision{}, false
	if fits {
		if r := s.links.get(k.bytes[:k.n]); r != nil {
			d, known = r.decision, true
		}
	}
	if !known {
		var err error
		if d, err = s.judgeLink(ctx, in); err == nil && !d.Uncacheable && fits && brief([]string{d.Rule, d.Reason, d.Message}, d.Labels) {
			s.links.put(k.bytes[:k.n], d)
		}
	}
	d.Provisional = in.Link.Channel == "" || in.Link.Proof == ""
	return d
}

// judgeLink is judge for a link.
func (s *Snapshot) judgeLink(ctx context.Context, in *Input) (d LinkDecision, err error) {
	answer, clock, err := s.link.ask(ctx, in)
	if err == nil {
		d, err = linkAnswer(answer)
	}
	if err != nil {
		d = LinkDecision{Rule: RuleEngineError, Reason: oneLine(err), Condition: "internal-server-error", Require: floor()}
		s.failures.add(ctx, linkRule, s.revision, d.Reason)
	}
	d.Condition = conditionOf(d.Effect, d.Condition)
	d.Revision, d.Uncacheable = s.revision, clock
	if s.observe {
		d.Effect = Allow
	}
	return d, err
}

// conditionOf fills in RFC 6120 §8.3.3.12 where a denial names no condition.
func conditionOf(e Effect, condition string) string {
	if e == Deny && condition == "" {
		return "policy-violation"
	}
	return condition
}

// oneLine makes one line of an error, because it goes into the log and the record.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
