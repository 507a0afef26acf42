// Package audit remembers what crossed the gate, so that it can be shown later to somebody who was not there.
//
// The record is a directory of segments, 00000001.jsonl and so on, each a file of JSON Lines that only ever grows. One line is
// one event: a stanza and what policy said of it, what became of it afterwards, a link that came up or did not, a change of
// the rules. The events of a gate are numbered without a gap (seq), so that a missing one shows, and each has an id that is
// unique among all gates and sorts by age.
//
// # What it promises
//
// Recorded before passed: [Log.Append] returns when the events are on the disk as Config.Durability says. When it returns an
// error, none of them is in the record, and none of those stanzas may pass. With Config.OnFailure "pass" they may, and an
// audit.gap event says how many did, as soon as the disk takes a line again.
//
// One commit for all that wait: a single goroutine owns the file. While it waits for the disk, callers encode their events into
// the next group; that group then goes out in one write and one fdatasync. What somebody waits for is never held back to fill a group;
// what a link does and nobody waits for is, for 10 ms.
//
// A line is a line: whatever a stranger puts into an address, an id or an error text, it can neither end a line nor begin one,
// nor move a terminal's cursor, nor turn the reading direction of a page (see appendText).
//
// What is there stays there: segments are never rewritten. A closed one gets a compressed form, whose lines are the same, byte for
// byte, and then loses the plain one (see packer). Two things are not part of the record. A line that a crash cut in
// half is taken off when the record is opened (audit.repair); lines that were written but not committed, because the disk filled
// up or failed in the middle, are taken off before the next commit, for their stanzas were refused.
//
// Nobody else writes here: a lock keeps a second gate out, and a segment that is moved, cut or written to under the gate is a
// disk that fails, until it is put back or the gate is started again.
//
// Inside one segment time never goes back. When the clock does, by more than a second, a new segment begins with an audit.clock
// event. Search relies on that to skip what is too old or too new; seq, not time, is the order of events.
//
// # The proof
//
// Every line is a leaf of a Merkle tree (RFC 6962 §2.1), and a [Checkpoint] says under the gate's signature how many lines there are and
// what the hash of their tree is (C2SP tlog-checkpoint). Who keeps one checkpoint out of the operator's reach can tell of every line
// before it whether it is the one that was recorded. The writer's goroutine hashes the lines of a commit when nothing can take them back
// any more, so that neither the tree nor a checkpoint ever has a line that is not in the record. The hashes are kept in the file tree,
// which is derived from the lines, the checkpoints in the file checkpoints, and the keys that verify them in record.pub; the key that
// signs is not in the directory.
//
// # Order of an event's life
//
// A stanza event comes first, and a delivery event settles it, or many at once, by ranges of seq: written, bounced, dropped or
// lost. [Unsettled] finds the allowed stanzas that have none, which is what a gate asks after a crash, to tell their senders. Each
// delivery event names the seq below which all is settled, so that the answer does not need the whole archive.
//
// # Keeping
//
// A closed segment is deleted, as a whole, when the retention of every line in it is over and no hold is on any of them. An audit.delete
// event says so first, and the leaves stay in the tree, so that all that is left can be proved as before; lines that are missing without
// such an event are a fault. See [Delete] and [Hold].
//
// # Reading
//
// [Search], [Tail], [Verify] and [Unsettled] read the files and nothing else. They need no writer, disturb none, and see a line
// at the earliest when it is whole; that may be a moment before it is durable. Closed segments get an index of what occurs where, which
// is derived from the lines and believed only as far as it fits them ([MakeIndexes]).
//
// The package decides nothing, knows no XMPP beyond names, and opens nothing by itself:
// content at level sealed is encrypted to officers (see Sealing), and [Opener] needs their keys. docs/reference/audit-events.md lists every kind with its fields, and
// schema/event.json says the same to programs; both are made from this package's code.
package audit
