package proxy

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sallyport/internal/jid"
)

// TestPauses: a route that failed bounces at once for limits.negative_first, doubling with each further failure up to
// limits.negative_max, and is as good as new when nobody wanted it for as long again.
func TestPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &Proxy{}
		p.settings.Store(&Settings{Limits: Limits{NegativeMin: 10 * time.Second, NegativeMax: 70 * time.Second, OutboundLinks: 1}})
		p.router.init(p)
		r := route{dir: Out, pair: Pair{Local: jid.MustDomain("corp.example"), Remote: jid.MustDomain("partner.example")}}
		failure := &Failure{Step: StepTCP, Err: errors.New("refused")}
		fails := func(want time.Duration) {
			t.Helper()
			if got := p.router.failed(r, failure); got != want {
				t.Errorf("next try in %v, want %v", got, want)
			}
			time.Sleep(want - time.Nanosecond)
			if _, err := p.router.link(r, false); err != error(failure) {
				t.Errorf("before its time is over: %v", err)
			}
			time.Sleep(time.Nanosecond)
			if f := p.router.refused[r]; time.Now().Before(f.until) {
				t.Errorf("after %v it is still refused", want)
			}
		}
		for _, seconds := range []int{10, 20, 40, 70, 70} {
			fails(time.Duration(seconds) * time.Second)
		}
		time.Sleep(69 * time.Second)
		fails(70 * time.Second)
		time.Sleep(70 * time.Second)
		fails(10 * time.Second)
		p.router.succeeded(r)
		fails(10 * time.Second)
		r.dir = In
		if got := p.router.failed(r, failure); got != 0 {
			t.Errorf("a backend's absence is remembered for %v", got)
		}
	})
}
