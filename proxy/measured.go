package proxy

import "sallyport/internal/stanza"

// Metric describes one measurement of the gate: docs/reference/metrics.md is written from it.
type Metric struct {
	Name    string // as OpenTelemetry has it
	Kind    string // counter, gauge or histogram
	Unit    string // UCUM; in braces what is counted
	Meaning string
	Labels  []Label
}

// Label is one attribute of a measurement, with every value that it can have. None is a stranger's to choose: what the world
// calls itself would make the measurements grow without bound.
type Label struct {
	Name   string
	Values []string
}

// Metrics lists all of the gate's measurements.
func Metrics() []Metric {
	door := Label{"door", []string{Inside.String(), Outside.String()}}
	direction := Label{"direction", []string{In.String(), Out.String()}}
	steps := Label{"step", []string{string(StepPolicy), string(StepDNS), string(StepTCP), string(StepStream), string(StepTLS), string(StepCert), string(StepSASL),
		string(StepDialback), string(StepCarry)}}
	boolean := []string{"true", "false"}
	return []Metric{
		{"sallyport.links", "gauge", "{link}", "Streams that stand now.",
			[]Label{door, {"kind", []string{"in", "out"}}, {"channel", []string{"plaintext", "tls"}}, {"proof", proofs()}}},
		{"sallyport.link.failures", "counter", "{failure}", "Links that did not come up, by the step at which they failed; of inbound ones those whose peer said whom it is for.",
			[]Label{door, steps}},
		{"sallyport.connections.refused", "counter", "{connection}", "Inbound connections closed without a byte, by the key of the configuration that closed them.",
			[]Label{door, {"reason", []string{refusedShutdown, refusedCaller, refusedTotal, refusedAddress, refusedRate}}}},
		{"sallyport.dialback.verifications", "counter", "{verification}", "Keys that others asked us about, and whether they were ours.",
			[]Label{door, {"ours", boolean}}},
		{"sallyport.stanzas", "counter", "{stanza}", "Stanzas that came to the gate, by what policy said then.",
			[]Label{direction, {"effect", []string{"allow", "deny", "drop"}}}},
		{"sallyport.stanzas.again", "counter", "{stanza}", "Of the stanzas that were let pass and waited, those that policy judged otherwise before they left, by what it said then. One that is refused then counts in sallyport.bounces.",
			[]Label{direction, {"effect", []string{"allow", "deny", "drop"}}}},
		{"sallyport.queue", "gauge", "{stanza}", "Stanzas that wait in the queues of outbound links.", []Label{door}},
		{"sallyport.bounces", "counter", "{stanza}", "Allowed stanzas that could not be delivered, and whether their sender was told.",
			[]Label{direction, {"condition", append(bounceConditions(), otherCondition)}, {"told", boolean}}},
		{"sallyport.unrecorded", "counter", "{stanza}", "Stanzas refused because the record took no events.", nil},
		{"sallyport.policy.failures", "counter", "{decision}", "Decisions that policy failed to make, each a deny with the rule engine-error. Alarm on it.", nil},
		{"sallyport.policy.remembered", "counter", "{stanza}", "Stanzas whose decision was remembered rather than evaluated; with sallyport.stanzas, how often policy.cache helps.", nil},
		{"sallyport.policy.revision", "gauge", "{revision}", "The revision of the policy in force: its twelve hexadecimal digits as a number. Gates that follow the same policy show the same.", nil},
		{"sallyport.policy.source.age", "gauge", "s", "How long ago a source of the policy last confirmed what is in force.", []Label{{"source", []string{"bundle", "directory"}}}},
		{"sallyport.policy.source.failing", "gauge", "{source}", "1 where a source of the policy gave nothing that could be used when it was last asked, else 0.", []Label{{"source", []string{"bundle", "directory"}}}},
		{"sallyport.policy.bundle", "gauge", "{revision}", "The number that the revision of the bundle in force begins with.", nil},
		{"sallyport.policy.exception.remaining", "gauge", "s", "Time until the next grant or dated peer ends; none while no end is ahead.", nil},
		{"sallyport.policy.exceptions.ended", "gauge", "{entry}", "Grants and dated peers that have ended and still stand in the data.", nil},
		{"sallyport.policy.duration", "histogram", "s", "Time to judge one batch of stanzas.", nil},
		{"sallyport.certificate.remaining", "gauge", "s", "Time until the first of our certificates ends, of those from files and of those that the gate obtains; negative when it has ended.",
			[]Label{{"source", []string{"file", "acme"}}}},
		{"sallyport.certificate.failing", "gauge", "{certificate}", "Certificates that the gate could not obtain or renew when it last tried.", nil},
		{"sallyport.audit.failing", "gauge", "{record}", "1 while the record takes no events, else 0. Alarm on it.", nil},
		{"sallyport.audit.lost", "counter", "{event}", "Events that passed or happened and never will be in the record: its disk failed, and audit.on_failure is pass, or too much came at once. The record counts them in audit.gap.", nil},
		{"sallyport.audit.free", "gauge", "By", "Space left on the file system of audit.dir.", nil},
		{"sallyport.audit.sink.records", "gauge", "{event}", "Events of the record that a sink does not have yet.", []Label{{"sink", []string{"the names in audit.sinks"}}}},
		{"sallyport.audit.sink.lag", "gauge", "s", "Age of the oldest event that a sink does not have yet. Alarm on it.", []Label{{"sink", []string{"the names in audit.sinks"}}}},
		{"sallyport.audit.duration", "histogram", "s", "Time to commit one batch of stanzas to the record.", nil},
	}
}

// bounceConditions are those with which the gate itself bounces. A policy may name others for links that it closes: these are counted
// as otherCondition.
func bounceConditions() []string {
	var all []string
	for _, c := range []stanza.Condition{stanza.RemoteServerNotFound, stanza.RemoteServerTimeout, stanza.ResourceConstraint, stanza.NotAllowed, stanza.PolicyViolation, stanza.ItemNotFound} {
		all = append(all, string(c))
	}
	return all
}

const otherCondition = "other"

// proofs are all values of a link's proof.
func proofs() []string {
	return []string{"none", "dialback", "dialback+tls", "pkix", "posh", "dane", "pin"}
}

// Why a connection is closed without a byte: the key of the configuration that says so.
const (
	refusedShutdown = "shutdown"
	refusedCaller   = "backends.from"
	refusedTotal    = "limits.connections"
	refusedAddress  = "limits.connections_per_address"
	refusedRate     = "limits.connection_rate"
)
