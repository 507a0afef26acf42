// Package sink carries the record of a gate to where others keep it: PostgreSQL, a syslog server over TLS (RFC 5424, RFC 5425),
// NATS JetStream, a collector that speaks OTLP.
//
// A sink follows the record's files and nothing else. It never holds back a commit: what a receiver does not take now, waits in the record,
// and is read again from there. Where a sink has got to is its cursor, a small file in sinks/ beside the record; PostgreSQL keeps its own in
// the transaction that stores the rows, and that one counts. After a failure, of either side, a sink goes on from its cursor. So each
// event arrives at least once, in order, and one that arrives twice has the same id: PostgreSQL drops it by its primary key, NATS by
// Nats-Msg-Id, others can by the id that stands in the structured data.
//
// Only what is committed is sent. The newest checkpoint is posted to each sink as well, so that whoever runs the receiver holds a signature
// that the gate's operator cannot take back.
//
// A dead sink stops nothing, unless it is required: then [Guard] refuses what would be recorded while the sink is further behind than its
// lag. Cursors of required sinks also say, through [Lowest], which segments may not be deleted yet.
//
// Syslog has no acknowledgement (RFC 5425 §6.1 has only TCP's). A message counts as arrived when the connection has stood for some seconds
// after it; when it breaks before, all of that time is sent again.
package sink
