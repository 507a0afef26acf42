package proxy

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// Telemetry is where measurements and traces go. Its zero value drops them.
type Telemetry struct {
	Meter  metric.Meter
	Tracer trace.Tracer
}

// span begins a span. Each set-up of a link is one, "link", from its first moment until it stands or has failed, with its steps as
// children: dns, dial, tls and dialback. Of an inbound link, dialback is the question to the authoritative server, which has
// children of the same names.
func (t Telemetry) span(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, trace.Span) {
	if t.Tracer == nil {
		return ctx, tracenoop.Span{}
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

// endSpan ends a span with what became of it. A step's own name is said where the failure knows it.
func endSpan(span trace.Span, err error) {
	if err != nil {
		var f *Failure
		if errors.As(err, &f) {
			span.SetAttributes(attribute.String("sallyport.step", string(f.Step)))
		}
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}
