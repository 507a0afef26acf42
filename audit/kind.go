package audit

import (
	"fmt"
	"slices"
	"strings"
)

// Kind says what an event is about. The zero Kind is none of them; an event without a kind is recorded as "unknown" rather
// than lost.
type Kind uint8

// The kinds of events. New ones are added at the end; none is ever given a new meaning.
const (
	Stanza Kind = iota + 1
	Delivery
	LinkOpen
	LinkClose
	LinkDeny
	LinkFail
	DialbackValid
	DialbackInvalid
	DialbackError
	AuthSpoof
	AuthUnsolicited
	PolicyReload
	ConfigReload
	AuditRepair
	AuditGap
	AuditClock
	AuditSpace
	AuditCount
	NodeStart
	NodeStop
	AuthMisaddressed
	Downgrade
	CertChanged
	ConfigPeer
	PolicyNotify
	AuthFlood
	AuditOpen
	AuditSearch
	AuditExport
	AuditHold
	AuditRelease
	AuditDelete
	AuditDestroy
	AuditKey
	AuditSigner
	AuditMismatch
	kindEnd
)

// Code is the stable number of an event: three digits for what happened, never reused. The hundreds follow the kinds.
type Code uint16

// What became of a stanza: values of Event.Outcome.
const (
	Written = "written" // handed to the next server's connection, which does not acknowledge
	Bounced = "bounced" // answered with a stanza error
	Dropped = "dropped" // neither passed nor answered, because it is of a kind that gets no answer
	Lost    = "lost"    // accepted before a crash, and not known to have been written
	Acked   = "acked"   // the next server says that it has taken it (XEP-0198)

	Untold   = "untold"   // refused, as its own event says, and its sender could not be told; it was not let pass, so this settles nothing
	Replaced = "replaced" // judged again before it left: another event stands for it, and what became of the stanza is said of that one
)

// kindInfo describes one kind for the encoder, the generated reference and the schema.
type kindInfo struct {
	name string
	code Code   // of the common case; see Event.Code
	doc  string // one paragraph for the reference
	must string // fields that such an event always has, by their path in a line
	may  string // further fields it can have
}

func (k Kind) info() *kindInfo {
	if k >= kindEnd {
		k = 0
	}
	return &kinds[k]
}

// String gives the name under which the kind stands in a line.
func (k Kind) String() string { return k.info().name }

// AsksKind tells whether the Kind of a Query, a name or link.*, asks for any event that there is.
func AsksKind(asked string) bool {
	prefix, several := strings.CutSuffix(asked, "*")
	return slices.ContainsFunc(kinds[1:], func(k kindInfo) bool { return k.name == asked || several && strings.HasPrefix(k.name, prefix) })
}

// linkFields are what an event knows of the link it happened on.
const linkFields = "dir local remote from to link.id link.channel link.proof link.tls link.cipher link.alpn link.remote_ip link.route"

// What an event knows of a deed: something that a person did with the record itself.
const (
	deedMust = "who query"
	deedMay  = "as why count key segment sha256 since until error"
)

var kinds = [kindEnd]kindInfo{
	0: {name: "unknown"},
	Stanza: {name: "stanza", code: 100,
		doc:  "A stanza reached the gate and was judged. The event is committed before the stanza goes any further. With the codes 103 to 105 it is a second event of a stanza that was let pass, waited, and was judged otherwise before it left: by its link when that stood, or by a policy that came into force meanwhile. At level link the addresses and everything that could name a person are left out.",
		must: "level dir local remote stanza.kind stanza.size decision.effect",
		may: "asked hash.body hash.from hash.to content.body content.subject content.lang content.xml sealed.key sealed.n sealed.box from to stanza.type stanza.id stanza.class stanza.e2ee stanza.label stanza.thread decision.rule decision.reason " +
			"decision.revision decision.mode decision.would decision.cached decision.retention change.rules change.before change.after condition text " + linkFields},
	Delivery: {name: "delivery", code: 110,
		doc:  "What became of stanzas recorded before. One event settles as many as were treated alike.",
		must: "of outcome settled", may: "condition text error " + linkFields},
	LinkOpen: {name: "link.open", code: 200,
		doc:  "A link is up for a pair of domains: secured and proved as the event says.",
		must: "dir link.id", may: "address text cert.facts cert.spki cert.issuer cert.not_after " + linkFields},
	LinkClose: {name: "link.close", code: 201,
		doc:  "A link that was up has ended.",
		must: "link.id", may: "address condition text error count cert.facts cert.spki cert.issuer cert.not_after " + linkFields},
	LinkDeny: {name: "link.deny", code: 202,
		doc: "Policy did not allow a link.",
		may: "address condition text decision.effect decision.rule decision.reason decision.revision decision.mode decision.would decision.cached cert.facts cert.spki cert.issuer cert.not_after " + linkFields},
	LinkFail: {name: "link.fail", code: 203,
		doc:  "A link did not come up, or broke: at which step, with whom, why, and what can be done about it.",
		must: "step", may: "address condition text error advice next_try decision.effect decision.rule decision.reason decision.revision cert.facts cert.spki cert.issuer cert.not_after " + linkFields},
	DialbackValid: {name: "dialback.valid", code: 300,
		doc:  "A domain was proved by dialback: the server that its DNS names knows the key (XEP-0220).",
		must: "from to", may: "address text " + linkFields},
	DialbackInvalid: {name: "dialback.invalid", code: 301,
		doc:  "A dialback key was not the named domain's: a misconfiguration, a restart in between, or an impostor.",
		must: "from to", may: "address condition text error " + linkFields},
	DialbackError: {name: "dialback.error", code: 302,
		doc:  "A dialback could not be carried out: the server to be asked was not found or did not answer.",
		must: "from to", may: "step address condition text error advice decision.effect decision.rule decision.reason decision.revision " + linkFields},
	AuthSpoof: {name: "auth.spoof", code: 400,
		doc: "Somebody used an address that is not theirs. A remote server's stream was ended; a backend's stanza was dropped.",
		may: "address condition text error stanza.kind stanza.type stanza.id stanza.size " + linkFields},
	AuthUnsolicited: {name: "auth.unsolicited", code: 401,
		doc: "An answer came that nobody had asked for. It changed nothing.",
		may: "address condition text error " + linkFields},
	AuthMisaddressed: {name: "auth.misaddressed", code: 402,
		doc: "A backend's stanza has an address that is missing or malformed, or is of a pair of domains that was not proved. It went no further; the condition is what its sender was told.",
		may: "address condition text error stanza.kind stanza.type stanza.id stanza.size " + linkFields},
	AuthFlood: {name: "auth.flood", code: 403,
		doc:  "Remote servers failed to prove themselves, or did what they may not, more often in a minute than is recorded one by one (limits.failures_per_address, limits.failures). The event counts what has no event of its own.",
		must: "count since until text", may: "dir address"},
	PolicyReload: {name: "policy.reload", code: 500,
		doc: "The policy was read again. With an error the old one stays in force.",
		may: "revision text error"},
	PolicyNotify: {name: "policy.notify", code: 530,
		doc:  "Policy wants somebody to know of a stanza: the rule, for whom, and what. The stanza's own event comes before it.",
		must: "decision.rule text", may: "from to address stanza.kind stanza.type stanza.id stanza.size " + linkFields},
	ConfigReload: {name: "config.reload", code: 510,
		doc: "The configuration was read again. With an error the old one stays in force.",
		may: "revision text error"},
	AuditRepair: {name: "audit.repair", code: 900,
		doc:  "When the record was opened, its last segment ended in something that is not a line, as a crash leaves it. It was cut off; nothing of it had been acknowledged.",
		must: "segment bytes sha256", may: "text"},
	AuditGap: {name: "audit.gap", code: 901,
		doc:  "Events that could not be recorded: stanzas that passed because on_failure is pass, or events nobody waits for, that were too many to be kept until the disk took them.",
		must: "count since until error", may: "passed"},
	AuditClock: {name: "audit.clock", code: 902,
		doc:  "The clock went back. The event has the new time, and begins a segment.",
		must: "since"},
	AuditSpace: {name: "audit.space", code: 903,
		doc:  "The file system of the record has less space left than audit.low_space. Said again only after it has recovered.",
		must: "bytes"},
	AuditCount: {name: "audit.count", code: 904,
		doc:  "Stanzas that policy recorded at level none, counted since the last such event.",
		must: "count since dir local remote decision.effect"},
	AuditKey: {name: "audit.key", code: 905,
		doc:  "A key under which content is sealed has begun: its name, the SHA-256 of its file, and the recipients that can open it.",
		must: "key sha256", may: "text"},
	AuditOpen: {name: "audit.open", code: 910,
		doc:  "Somebody asked for sealed content to be opened. The event is committed before anything is shown.",
		must: deedMust, may: deedMay},
	AuditSearch: {name: "audit.search", code: 911,
		doc:  "Somebody searched the record.",
		must: deedMust, may: deedMay},
	AuditExport: {name: "audit.export", code: 912,
		doc:  "Somebody took events out of the record: which, how many, and, in sha256, what came of it.",
		must: deedMust, may: deedMay},
	AuditHold: {name: "audit.hold", code: 913,
		doc:  "Somebody put events under legal hold: they outlive their retention until the hold is released.",
		must: deedMust + " why", may: deedMay},
	AuditRelease: {name: "audit.release", code: 914,
		doc:  "Somebody ended a legal hold.",
		must: deedMust + " why", may: deedMay},
	AuditDelete: {name: "audit.delete", code: 915,
		doc:  "A closed segment is deleted: its name, its lines, their first and last time, and in sha256 the root of the tree at its end. Its leaves stay in the tree. of has all seqs that are deleted, by earlier events too. The event is committed before anything is removed.",
		must: deedMust + " of segment count", may: deedMay},
	AuditDestroy: {name: "audit.destroy", code: 916,
		doc:  "Keys of sealed content were destroyed: nobody can open what was sealed under them. The lines stay as they are.",
		must: deedMust + " why", may: deedMay},
	AuditSigner: {name: "audit.signer", code: 906,
		doc:  "The record goes on under another signing key, which the text names. The line is covered by the first checkpoint of the new key.",
		must: "text error"},
	AuditMismatch: {name: "audit.mismatch", code: 907,
		doc:  "When the record was opened, it was not what its last checkpoint says: lines were changed or are missing. The gate goes on behind it; audit verify finds where.",
		must: "error"},
	NodeStart: {name: "node.start", code: 950,
		doc: "The gate started.",
		may: "revision text"},
	Downgrade: {name: "downgrade", code: 420,
		doc:  "A remote domain showed less than it did before: the channel or the proof that it was reached by, and the one now. With a decision the link was refused for it; without one it was let through, as ratchet.mode or the time to learn wants it.",
		must: "local remote error", may: "address text decision.effect decision.rule decision.reason decision.revision decision.mode decision.would decision.cached cert.facts cert.spki cert.issuer cert.not_after " + linkFields},
	CertChanged: {name: "cert.changed", code: 600,
		doc:  "A remote domain that had shown another public key, or the certificate of another authority, shows a new one. Both stand in the text.",
		must: "local remote text", may: "address cert.facts cert.spki cert.issuer cert.not_after " + linkFields},
	ConfigPeer: {name: "config.peer", code: 520,
		doc:  "Somebody changed by hand what is remembered of a remote domain: forgave what it proved, or pinned its keys.",
		must: "remote text", may: "error"},
	NodeStop: {name: "node.stop", code: 951,
		doc: "The gate stopped in good order. A record whose last event is another one was ended by a crash.",
		may: "count text"},
}

// IsDeed says whether events of the kind tell what a person did with the record.
func (k Kind) IsDeed() bool { return AuditOpen <= k && k <= AuditDestroy }

// ParseDeed reads the name of a kind of deed. The error is for every other name: no event of those kinds is anybody's to order.
func ParseDeed(name string) (Kind, error) {
	for k := AuditOpen; k <= AuditDestroy; k++ {
		if k.String() == name {
			return k, nil
		}
	}
	return 0, fmt.Errorf("%q is not an event of something done with the record", clip(name))
}

// again is how far the code of a stanza that is judged a second time lies above that of the first.
const again = 3

// passes says whether the event is of a stanza that was let pass, so that a delivery event has to settle it.
func (c Code) passes() bool { return c == kinds[Stanza].code || c == kinds[Stanza].code+again }

// Code is the event's number. Within a kind it tells the cases apart that an operator would alarm on separately.
func (e *Event) Code() Code {
	c := e.Kind.info().code
	switch e.Kind {
	case Stanza:
		switch e.Decision.Effect {
		case "allow":
		case "drop":
			c += 2
		default:
			c++
		}
		if e.Again {
			c += again
		}
	case Delivery:
		switch e.Outcome {
		case Written:
		case Bounced:
			c++
		case Dropped:
			c += 2
		case Acked:
			c += 4
		case Replaced:
			c += 5
		case Untold:
			c += 6
		default:
			c += 3
		}
	case PolicyReload, ConfigReload:
		if e.Error != "" {
			c++
		}
	}
	return c
}
