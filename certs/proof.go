package certs

// How a chain was found to prove its domain.
const (
	ProofPKIX = "pkix" // a trust anchor vouches for it
	ProofDANE = "dane" // the domain's TLSA records name it
	ProofPOSH = "posh" // the domain's POSH document names it
)

// Strength orders the proofs that a peer can be asked for, as XEP-0238 has them: 0 is none, 1 is dialback, 2 is a certificate. Those of one
// strength stand in for each other, but for the ones that policy asks for by name.
func Strength(proof string) int {
	switch proof {
	case "dialback", "dialback+tls":
		return 1
	case ProofPKIX, ProofDANE, ProofPOSH, "pin":
		return 2
	}
	return 0
}

// Needed is the proof that a link must have to please policy, or to be what the domain was before: of the two, the stronger one. In the
// second case any proof of that strength will do, which ProofPKIX stands for.
func Needed(required, remembered string) string {
	if Strength(remembered) > Strength(required) {
		return ProofPKIX
	}
	return required
}

// Further names the ways, in their order, in which DNS and the web can still vouch for what is needed when the trust anchors have been
// heard: for a proof that is asked for by its own name, or in the place of a trust anchor that has not proved the peer. A pin is a pin. These
// ways cost questions to a stranger's servers, so none is named without need.
func Further(needed string, proved bool) []string {
	switch {
	case needed == ProofDANE, needed == ProofPOSH:
		return []string{needed}
	case needed == ProofPKIX && !proved:
		return []string{ProofDANE, ProofPOSH}
	}
	return nil
}
