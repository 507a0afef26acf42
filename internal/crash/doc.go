// Package crash holds the tests that wreck what a whole gate stands on. One kills the gate: the program itself, at random moments, under
// load, again and again. Afterwards the record has to verify, everything that was delivered has to be in it, and every sender of a stanza
// that was lost has to know. `make test` kills it ten times and `make crash` two hundred times.
//
// Another has the disk of the record fail under a running gate: full, silent, read-only, its directory gone. A third kills what the record
// is carried to.
package crash
