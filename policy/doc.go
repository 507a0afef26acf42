// Package policy decides: Rego in, [Decision] out.
//
// Two questions are asked of it. May there be a link between a local and a remote domain, and what must that link reach
// ([Snapshot.Link])? May this stanza cross ([Snapshot.Stanza])? Both answers are objects that Rego makes:
// data.sallyport.link.decision and data.sallyport.stanza.decision. The Rego that ships with the program (base/*.rego)
// makes them from data documents and from the set `deny`, to which operators add members; an operator's file that defines
// one of base's own rules takes the place of base's whole package. Nothing about who may federate is written in Go.
//
// Whatever is not a plain yes is a no. Undefined, a conflict, an error, a panic, an answer of the wrong shape, an
// instruction that is not understood and an answer that came late are all a deny with the rule [RuleEngineError].
//
// An evaluation costs more than all the rest that happens to a stanza, so decisions are remembered. When policy is loaded
// the compiled rules are read for the attributes of input that an answer can depend on. An evaluation is given those
// attributes and no others, and its answer is remembered under their values: what is remembered cannot differ from what an
// evaluation would say. Answers for which the clock was read are not remembered; the network, the environment and chance
// cannot be read at all.
//
// [Engine.Reload] replaces everything at once or nothing. [Snapshot] holds one revision still for a batch of stanzas.
//
// The engine behind this is Open Policy Agent. None of its types is in the signatures here.
package policy
