// Package load measures what carrying stanzas costs: for the gate, and in the same run for the servers that people would use
// without it.
//
// A [Subject] is the program under measurement, in a process of its own, with two ends around it. The remote end is a server on
// the internet that speaks TLS; the local end is what stands behind the subject: a plaintext, dialback-only server behind the
// gate, a component (XEP-0114) of Prosody or ejabberd. Both ends are made of package peer until a pair is proved; from then on
// they write precomputed bytes and count what arrives, so that the generator costs less than what it measures.
//
// What is measured, and how:
//
//   - CPU per stanza: the CPU clock of the subject's processes (utime + stime, to the nanosecond) over the stanzas that came
//     out at the other end. The wall rate is printed too, but source, subject and sink share the machine: it is a floor.
//   - Writes per stanza: the write system calls of the subject (/proc/PID/io), those to its record included.
//   - Round trips: a burst of stanzas, each in a write of its own, until the last of as many answers is back. Each answer is
//     written by the local end when the stanza arrived there, so a round trip crosses the subject twice.
//   - Link set-ups per CPU second: new domains, each with its TLS connection outside, its proof, and its proved stream inside.
//   - Memory per idle link pair: resident memory of the subject with all those pairs open and silent, less that before.
//
// Figures of one machine at one time are compared with each other, and with nothing else.
package load
