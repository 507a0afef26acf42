package proxy

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"sallyport/policy"
)

// Telemetry is where measurements and traces go. Its zero value drops them.
type Telemetry struct {
	Meter  metric.Meter
	Tracer trace.Tracer
}

func (t Telemetry) span(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if t.Tracer == nil {
		return tracenoop.NewTracerProvider().Tracer("").Start(ctx, name)
	}
	return t.Tracer.Start(ctx, name, trace.WithAttributes(attrs...))
}

func routeAttributes(r route) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("sallyport.direction", r.dir.String()),
		attribute.String("xmpp.from", r.from().String()),
		attribute.String("xmpp.to", r.to().String()),
	}
}

// instruments are the gate's measurements; docs/reference/metrics.md lists them.
type instruments struct {
	links      metric.Int64UpDownCounter
	stanzas    metric.Int64Counter
	bounces    metric.Int64Counter
	failures   metric.Int64Counter
	refusals   metric.Int64Counter
	verifies   metric.Int64Counter
	unwritten  metric.Int64Counter
	policyTime metric.Float64Histogram
	recordTime metric.Float64Histogram
	// Attribute sets of the hot path, made once: by direction and effect.
	crossed [2][3]metric.MeasurementOption
}

// Metric names what the gate measures: name, unit and meaning.
type Metric struct{ Name, Unit, Meaning string }

// Metrics are all of the gate's measurements, for the reference page and the test that keeps it.
var Metrics = [...]Metric{
	{"sallyport.links", "{link}", "Streams that stand now, by door (inside, outside), kind (in, out), channel and proof."},
	{"sallyport.stanzas", "{stanza}", "Stanzas that came to the gate, by direction (in, out) and effect (allow, deny, drop)."},
	{"sallyport.bounces", "{stanza}", "Allowed stanzas that could not be delivered, by direction, condition, and whether their sender was told."},
	{"sallyport.link.failures", "{failure}", "Links that did not come up or were refused, by door and step (policy, dns, tcp, stream, tls, cert, sasl, dialback)."},
	{"sallyport.connections.refused", "{connection}", "Connections closed before a byte, by door and reason."},
	{"sallyport.dialback.verifications", "{verification}", "Keys that we were asked about as authoritative server, by door and whether they were ours."},
	{"sallyport.unrecorded", "{stanza}", "Stanzas refused because the record took no events."},
	{"sallyport.policy.duration", "s", "Time to judge one batch of stanzas."},
	{"sallyport.audit.duration", "s", "Time to commit one batch of stanzas to the record."},
	{"sallyport.queue", "{stanza}", "Stanzas that wait in the queues of outbound links, by door."},
}

func newInstruments(t Telemetry, p *Proxy) (instruments, error) {
	m := t.Meter
	if m == nil {
		m = metricnoop.NewMeterProvider().Meter("")
	}
	var i instruments
	var errs [10]error
	about := func(n int) metric.InstrumentOption { return metric.WithDescription(Metrics[n].Meaning) }
	unit := func(n int) metric.InstrumentOption { return metric.WithUnit(Metrics[n].Unit) }
	i.links, errs[0] = m.Int64UpDownCounter(Metrics[0].Name, about(0), unit(0))
	i.stanzas, errs[1] = m.Int64Counter(Metrics[1].Name, about(1), unit(1))
	i.bounces, errs[2] = m.Int64Counter(Metrics[2].Name, about(2), unit(2))
	i.failures, errs[3] = m.Int64Counter(Metrics[3].Name, about(3), unit(3))
	i.refusals, errs[4] = m.Int64Counter(Metrics[4].Name, about(4), unit(4))
	i.verifies, errs[5] = m.Int64Counter(Metrics[5].Name, about(5), unit(5))
	i.unwritten, errs[6] = m.Int64Counter(Metrics[6].Name, about(6), unit(6))
	i.policyTime, errs[7] = m.Float64Histogram(Metrics[7].Name, about(7), unit(7), metric.WithExplicitBucketBoundaries(1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1))
	i.recordTime, errs[8] = m.Float64Histogram(Metrics[8].Name, about(8), unit(8), metric.WithExplicitBucketBoundaries(1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1))
	_, errs[9] = m.Int64ObservableGauge(Metrics[9].Name, about(9), unit(9), metric.WithInt64Callback(p.observeQueues))
	for _, err := range errs {
		if err != nil {
			return instruments{}, err
		}
	}
	for _, d := range []Direction{In, Out} {
		for _, e := range []policy.Effect{policy.Deny, policy.Drop, policy.Allow} {
			i.crossed[d][e] = metric.WithAttributeSet(attribute.NewSet(attribute.String("direction", d.String()), attribute.String("effect", e.String())))
		}
	}
	return i, nil
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
	i.bounces.Add(context.Background(), 1, metric.WithAttributes(attribute.String("direction", d.String()), attribute.String("condition", condition), attribute.Bool("told", told)))
}

// carried counts a batch: one addition for each effect that occurs in it.
func (i *instruments) carried(batch []crossing, judged, recorded time.Duration) {
	var n [3]int64
	for k := range batch {
		n[batch[k].decision.Effect]++
	}
	ctx := context.Background()
	for e, count := range n {
		if count > 0 {
			i.stanzas.Add(ctx, count, i.crossed[batch[0].dir][e])
		}
	}
	i.policyTime.Record(ctx, judged.Seconds())
	i.recordTime.Record(ctx, recorded.Seconds())
}
