package proxy

// CountBounce counts a bounce with any condition.
func (p *Proxy) CountBounce(condition string) { p.instruments.bounced(Out, condition, true) }
