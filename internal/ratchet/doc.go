// Package ratchet remembers what each remote domain has proved, so that none falls below it unnoticed.
//
// Whoever sits on the wire between two servers can take STARTTLS out of the features, or answer with a certificate that policy would
// accept from a stranger. What gives it away is that the domain did better before. A Book keeps, per remote domain and direction,
// the best channel and the best proof that a link reached, and which public keys and issuers were seen.
//
// A mark moves up at once and never down. It does not bind at once: for Config.Learn nothing comes of it, for Config.Observe a link
// below it is told and let through, and from then on the domain is held to it. Changed keys are told in every stage: certificates are
// renewed every few weeks, so a new key proves nothing; that it came together with a new issuer may be worth a question.
//
// The package decides nothing about a link. Policy gets Known as a part of its input, and the shipped policy refuses what is below;
// Record says what an auditor should hear. Forgive is for a peer that has, for a reason, become worse; Pin names the only keys that
// a domain may have, whatever the authorities say.
package ratchet
