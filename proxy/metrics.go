package proxy

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"sallyport/policy"
)

// instruments are the gate's measurements; Metrics describes them.
type instruments struct {
	links      metric.Int64UpDownCounter
	stanzas    metric.Int64Counter
	again      metric.Int64Counter
	bounces    metric.Int64Counter
	failures   metric.Int64Counter
	refusals   metric.Int64Counter
	verifies   metric.Int64Counter
	unwritten  metric.Int64Counter
	remembered metric.Int64Counter
	policyTime metric.Float64Histogram
	recordTime metric.Float64Histogram
	// Attribute sets of the hot path, made once: by direction and effect.
	crossed [2][3]metric.MeasurementOption
}

func newInstruments(t Telemetry, p *Proxy) (instruments, error) {
	k := newMaker(t)
	i := instruments{
		links:      k.upDown("sallyport.links"),
		stanzas:    k.counter("sallyport.stanzas"),
		again:      k.counter("sallyport.stanzas.again"),
		bounces:    k.counter("sallyport.bounces"),
		failures:   k.counter("sallyport.link.failures"),
		refusals:   k.counter("sallyport.connections.refused"),
		verifies:   k.counter("sallyport.dialback.verifications"),
		unwritten:  k.counter("sallyport.unrecorded"),
		remembered: k.counter("sallyport.policy.remembered"),
		policyTime: k.histogram("sallyport.policy.duration", 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1),
		recordTime: k.histogram("sallyport.audit.duration", 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1),
	}
	k.gauge("sallyport.queue", p.observeQueues)
	k.counted("sallyport.policy.failures", func() uint64 { return p.Policy.Failures() })
	k.gauge("sallyport.policy.revision", p.observeRevision)
	k.gauge("sallyport.policy.source.age", p.observeSources(func(s policy.FeedStatus) int64 { return int64(time.Since(s.Confirmed).Seconds()) }))
	k.gauge("sallyport.policy.source.failing", p.observeSources(func(s policy.FeedStatus) int64 { return int64(min(len(s.Problem), 1)) }))
	k.gauge("sallyport.policy.bundle", p.observeBundle)
	k.gauge("sallyport.policy.exception.remaining", p.observeNextEnd)
	k.gauge("sallyport.policy.exceptions.ended", p.observeEnded)
	if p.Health != nil {
		k.number("sallyport.audit.failing", func() int64 {
			if p.Health().Failing {
				return 1
			}
			return 0
		})
		k.counted("sallyport.audit.lost", func() uint64 { return p.Health().Lost })
		k.number("sallyport.audit.free", func() int64 { return int64(min(p.Health().Free, math.MaxInt64)) })
	}
	k.gauge("sallyport.audit.sink.records", p.observeSinks(func(l SinkLag) int64 { return int64(l.Records) }))
	k.gauge("sallyport.audit.sink.lag", p.observeSinks(func(l SinkLag) int64 { return int64(l.Seconds) }))
	k.gauge("sallyport.certificate.remaining", p.observeExpiry)
	k.gauge("sallyport.certificate.failing", p.observeRenewals)
	for _, d := range []Direction{In, Out} {
		for _, e := range []policy.Effect{policy.Deny, policy.Drop, policy.Allow} {
			i.crossed[d][e] = metric.WithAttributeSet(attribute.NewSet(attribute.String("direction", d.String()), attribute.String("effect", e.String())))
		}
	}
	return i, k.err
}

// maker makes instruments that are what Metrics says of them.
type maker struct {
	meter metric.Meter
	known map[string]Metric
	err   error
}

func newMaker(t Telemetry) *maker {
	k := &maker{meter: t.Meter, known: make(map[string]Metric)}
	if k.meter == nil {
		k.meter = metricnoop.NewMeterProvider().Meter("")
	}
	for _, m := range Metrics() {
		k.known[m.Name] = m
	}
	return k
}

func (k *maker) about(name string) (description, unit metric.InstrumentOption) {
	return metric.WithDescription(k.known[name].Meaning), metric.WithUnit(k.known[name].Unit)
}

func (k *maker) counter(name string) metric.Int64Counter {
	description, unit := k.about(name)
	c, err := k.meter.Int64Counter(name, description, unit)
	k.err = errors.Join(k.err, err)
	return c
}

func (k *maker) upDown(name string) metric.Int64UpDownCounter {
	description, unit := k.about(name)
	c, err := k.meter.Int64UpDownCounter(name, description, unit)
	k.err = errors.Join(k.err, err)
	return c
}

func (k *maker) histogram(name string, bounds ...float64) metric.Float64Histogram {
	description, unit := k.about(name)
	h, err := k.meter.Float64Histogram(name, description, unit, metric.WithExplicitBucketBoundaries(bounds...))
	k.err = errors.Join(k.err, err)
	return h
}

func (k *maker) gauge(name string, observe metric.Int64Callback) {
	description, unit := k.about(name)
	_, err := k.meter.Int64ObservableGauge(name, description, unit, metric.WithInt64Callback(observe))
	k.err = errors.Join(k.err, err)
}

// number is a gauge without labels.
func (k *maker) number(name string, value func() int64) {
	k.gauge(name, func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(value())
		return nil
	})
}

// counted is a counter of which somebody else keeps the count.
func (k *maker) counted(name string, count func() uint64) {
	description, unit := k.about(name)
	_, err := k.meter.Int64ObservableCounter(name, description, unit, metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(int64(count()))
		return nil
	}))
	k.err = errors.Join(k.err, err)
}

func (p *Proxy) observeQueues(_ context.Context, o metric.Int64Observer) error {
	var waiting [2]int64
	for _, l := range p.router.live() {
		waiting[l.r.dir.exit()] += int64(l.snapshot().Queue)
	}
	for d, n := range waiting {
		o.Observe(n, metric.WithAttributes(attribute.String("door", Door(d).String())))
	}
	return nil
}

func (p *Proxy) observeRevision(_ context.Context, o metric.Int64Observer) error {
	digits, _, _ := strings.Cut(p.Policy.Snapshot().Revision(), "@")
	n, err := strconv.ParseInt(digits, 16, 64)
	if err == nil {
		o.Observe(n)
	}
	return err
}

// observeSources observes something of each source of the policy.
func (p *Proxy) observeSources(of func(policy.FeedStatus) int64) metric.Int64Callback {
	return func(_ context.Context, o metric.Int64Observer) error {
		for _, f := range p.Feeds {
			s := f.Status()
			o.Observe(of(s), metric.WithAttributes(attribute.String("source", s.Source)))
		}
		return nil
	}
}

// observeSinks observes something of each sink of the record.
func (p *Proxy) observeSinks(of func(SinkLag) int64) metric.Int64Callback {
	return func(_ context.Context, o metric.Int64Observer) error {
		if p.SinkLags == nil {
			return nil
		}
		for _, l := range p.SinkLags() {
			o.Observe(of(l), metric.WithAttributes(attribute.String("sink", l.Name)))
		}
		return nil
	}
}

func (p *Proxy) observeBundle(_ context.Context, o metric.Int64Observer) error {
	for _, f := range p.Feeds {
		if n, ok := policy.Serial(f.Status().Version); ok {
			o.Observe(int64(n))
		}
	}
	return nil
}

// observeNextEnd is about the first of the dated entries that has not ended.
func (p *Proxy) observeNextEnd(_ context.Context, o metric.Int64Observer) error {
	now := time.Now()
	all := p.Policy.Snapshot().Exceptions(now)
	if i := slices.IndexFunc(all, func(x policy.Exception) bool { return !x.Ended }); i >= 0 {
		o.Observe(int64(all[i].Until.Sub(now).Seconds()))
	}
	return nil
}

func (p *Proxy) observeEnded(_ context.Context, o metric.Int64Observer) error {
	var n int64
	for _, x := range p.Policy.Snapshot().Exceptions(time.Now()) {
		if x.Ended {
			n++
		}
	}
	o.Observe(n)
	return nil
}

func (p *Proxy) observeExpiry(_ context.Context, o metric.Int64Observer) error {
	first := make(map[string]time.Time)
	for _, s := range p.Certs.Status() {
		if at, known := first[s.Source]; !s.NotAfter.IsZero() && (!known || s.NotAfter.Before(at)) {
			first[s.Source] = s.NotAfter
		}
	}
	for source, at := range first {
		o.Observe(int64(time.Until(at).Seconds()), metric.WithAttributes(attribute.String("source", source)))
	}
	return nil
}

func (p *Proxy) observeRenewals(_ context.Context, o metric.Int64Observer) error {
	var failing int64
	for _, s := range p.Certs.Status() {
		if s.Failures > 0 {
			failing++
		}
	}
	o.Observe(failing)
	return nil
}

func linkSet(d Door, kind string, f policy.LinkFacts) metric.AddOption {
	return metric.WithAttributes(attribute.String("door", d.String()), attribute.String("kind", kind), attribute.String("channel", f.Channel), attribute.String("proof", f.Proof))
}

func (i *instruments) opened(d Door, kind string, f policy.LinkFacts) {
	i.links.Add(context.Background(), 1, linkSet(d, kind, f))
}

func (i *instruments) closed(d Door, kind string, f policy.LinkFacts) {
	i.links.Add(context.Background(), -1, linkSet(d, kind, f))
}

func (i *instruments) failed(d Door, s Step) {
	i.failures.Add(context.Background(), 1, metric.WithAttributes(attribute.String("door", d.String()), attribute.String("step", string(s))))
}

func (i *instruments) refused(d Door, reason string) {
	i.refusals.Add(context.Background(), 1, metric.WithAttributes(attribute.String("door", d.String()), attribute.String("reason", reason)))
}

func (i *instruments) verified(d Door, ours bool) {
	i.verifies.Add(context.Background(), 1, metric.WithAttributes(attribute.String("door", d.String()), attribute.Bool("ours", ours)))
}

func (i *instruments) unrecorded(n int) { i.unwritten.Add(context.Background(), int64(n)) }

func (i *instruments) bounced(d Direction, condition string, told bool) {
	if !slices.Contains(bounceConditions(), condition) {
		condition = otherCondition
	}
	i.bounces.Add(context.Background(), 1, metric.WithAttributes(attribute.String("direction", d.String()), attribute.String("condition", condition), attribute.Bool("told", told)))
}

// carried counts a batch: one addition for each effect that occurs in it.
func (i *instruments) carried(batch []crossing, judged, recorded time.Duration) {
	var n [3]int64
	var remembered int64
	for k := range batch {
		n[batch[k].decision.Effect]++
		if batch[k].decision.Cached {
			remembered++
		}
	}
	ctx := context.Background()
	for e, count := range n {
		if count > 0 {
			i.stanzas.Add(ctx, count, i.crossed[batch[0].dir][e])
		}
	}
	if remembered > 0 {
		i.remembered.Add(ctx, remembered)
	}
	i.policyTime.Record(ctx, judged.Seconds())
	i.recordTime.Record(ctx, recorded.Seconds())
}

// judgedAgain counts a stanza of which policy says something else before it leaves than when it came.
func (i *instruments) judgedAgain(c *crossing) {
	i.again.Add(context.Background(), 1, i.crossed[c.dir][c.decision.Effect])
}
