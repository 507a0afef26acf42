package policy

import "time"

// Effect is what becomes of a link or a stanza.
type Effect uint8

const (
	// Deny refuses it, with an answer where one is due.
	Deny Effect = iota
	// Drop lets a stanza vanish without an answer.
	Drop
	// Allow lets it pass.
	Allow
)

// String gives the word that Rego uses.
func (e Effect) String() string {
	switch e {
	case Drop:
		return "drop"
	case Allow:
		return "allow"
	}
	return "deny"
}

// RuleEngineError is the rule of a decision that policy failed to make. Reason then says why, for the operator.
const RuleEngineError = "engine-error"

// Decision is the answer about a stanza. The zero value denies.
type Decision struct {
	Effect    Effect
	Rule      string   // the rule that spoke
	Reason    string   // why, for the operator and the record; never sent
	Condition string   // RFC 6120 §8.3.3, for the answer to a denied stanza
	Message   string   // text for that answer; may be empty
	Audit     string   // level of the record; empty: the record's own default
	Revision  string   // of the policy that decided
	Labels    []string // for the record; shared, not to be changed
	Cached    bool     // remembered rather than evaluated
	// Would is the effect that policy asked for. It differs from Effect where the mode, the peer or the rule is only observed; Rule and
	// Reason are then those of what was not done.
	Would Effect
	// Transforms are done on an allowed stanza, in this order. Shared, not to be changed.
	Transforms []Transform
	Notify     []Notice // for people, shared
	Retention  string   // class under which the record keeps the event; may be empty
	// Uncacheable: the clock was read, the next answer may be another.
	Uncacheable bool
}

// Requirement is the least that a link must reach.
type Requirement struct {
	Channel string // plaintext | tls
	Proof   string // dialback | pkix | posh | dane | pin
	TLSMin  string // 1.2 | 1.3
}

// LinkDecision is the answer about a link. The zero value denies.
type LinkDecision struct {
	Effect    Effect // Deny or Allow
	Rule      string
	Reason    string
	Condition string // as in Decision, for stanzas that wait for the link
	Message   string
	Revision  string
	Labels    []string
	Require   Requirement // always filled, also when the link is denied
	// Until is the moment at which the terms change and the link has to be judged again. Zero: they do not change by
	// themselves.
	Until time.Time
	// Would and Uncacheable are as in Decision.
	Would       Effect
	Uncacheable bool
	// Provisional: the channel or the proof was not known yet. What has been proved has to be judged again.
	Provisional bool
}

// floor is what base asks of everyone, and what is asked where policy failed to say.
func floor() Requirement { return Requirement{Channel: "tls", Proof: "dialback", TLSMin: "1.2"} }
