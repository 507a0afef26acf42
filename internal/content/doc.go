// Package content says what a stanza holds (PROTOCOL §9): what policy decides on and the record keeps, out of bytes that the scanner
// has accepted.
//
// [Classify] is one walk over the tags. It is done for each stanza, and does not allocate. The rest costs more and is read only where
// a policy asks for it: texts, addresses of the web, and addresses of people.
//
// Copies that are nested in a stanza (forwarded, archived, published) are looked into, and are never taken for stanzas.
package content
