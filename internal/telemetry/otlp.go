package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// pushInterval is how often measurements go to the collector. Spans go in batches as they come.
const pushInterval = 30 * time.Second

// collector is an OTLP endpoint and what is pushed to it.
type collector struct {
	endpoint string
	log      *slog.Logger
	traces   *sdktrace.TracerProvider
	reader   sdkmetric.Reader

	mu      sync.Mutex
	failing bool // the last push was in vain
}

// newCollector prepares pushing to a URL; nothing is sent yet.
func newCollector(ctx context.Context, endpoint string, about *resource.Resource, log *slog.Logger) (*collector, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not an http or https URL", endpoint)
	}
	c := &collector{endpoint: u.Redacted(), log: log}
	traces, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.JoinPath("v1/traces").String()))
	if err != nil {
		return nil, err
	}
	measured, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(u.JoinPath("v1/metrics").String()))
	if err != nil {
		return nil, errors.Join(err, traces.Shutdown(ctx))
	}
	c.traces = sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(&spans{traces, c}))
	c.reader = sdkmetric.NewPeriodicReader(&measurements{measured, c}, sdkmetric.WithInterval(pushInterval))
	return c, nil
}

// shutdown pushes the rest, as far as ctx allows.
func (c *collector) shutdown(ctx context.Context, meters *sdkmetric.MeterProvider) {
	if err := errors.Join(c.traces.Shutdown(ctx), meters.Shutdown(ctx)); err != nil {
		c.note(err)
	}
}

// note logs when pushing stops working and when it works again. Otherwise the SDK would print each failure to standard error, in its own
// words.
func (c *collector) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.failing
	c.failing = err != nil
	switch {
	case err != nil && !was:
		c.log.Warn("the collector of telemetry.otlp takes nothing; what it misses is dropped", "url", c.endpoint, "error", err)
	case err == nil && was:
		c.log.Info("the collector of telemetry.otlp takes data again", "url", c.endpoint)
	}
}

// spans is the exporter of traces, whose failures end in the log.
type spans struct {
	sdktrace.SpanExporter
	collector *collector
}

func (s *spans) ExportSpans(ctx context.Context, batch []sdktrace.ReadOnlySpan) error {
	s.collector.note(s.SpanExporter.ExportSpans(ctx, batch))
	return nil
}

// measurements is the exporter of metrics, whose failures end in the log.
type measurements struct {
	sdkmetric.Exporter
	collector *collector
}

func (m *measurements) Export(ctx context.Context, all *metricdata.ResourceMetrics) error {
	m.collector.note(m.Exporter.Export(ctx, all))
	return nil
}
