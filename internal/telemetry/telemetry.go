package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/trace"
)

// Config says where measurements go. The zero Config sends them nowhere.
type Config struct {
	Metrics string `yaml:"metrics" default:"" doc:"address of the Prometheus endpoint (/metrics, /healthz); empty: none"`
	OTLP    string `yaml:"otlp" default:"" doc:"URL of an OTLP/HTTP collector for traces and metrics; empty: none"`
}

// scope names our instruments and spans among those of the libraries.
const scope = "sallyport"

// shutdownTime bounds the last push.
const shutdownTime = 5 * time.Second

// Telemetry is what Start made.
type Telemetry struct {
	meters    *sdkmetric.MeterProvider
	collector *collector // nil without OTLP
	registry  *prometheus.Registry
	log       *slog.Logger
}

// Start sets everything up. Its error is about the URL of the collector; that it does not answer is none.
func Start(ctx context.Context, c Config, version string, log *slog.Logger) (*Telemetry, error) {
	about := resource.NewSchemaless(attribute.String("service.name", "sallyport"), attribute.String("service.version", version))
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	scraped, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("making the Prometheus exporter: %w", err)
	}
	t := &Telemetry{registry: registry, log: log}
	options := []sdkmetric.Option{sdkmetric.WithResource(about), sdkmetric.WithReader(scraped)}
	if c.OTLP != "" {
		if t.collector, err = newCollector(ctx, c.OTLP, about, log); err != nil {
			return nil, err
		}
		options = append(options, sdkmetric.WithReader(t.collector.reader))
	}
	t.meters = sdkmetric.NewMeterProvider(options...)
	return t, nil
}

// Serve answers Prometheus on ln until ctx ends, and then returns nil.
func (t *Telemetry) Serve(ctx context.Context, ln net.Listener) error {
	complaints := slog.NewLogLogger(t.log.Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second, ErrorLog: complaints}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: complaints}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving telemetry.metrics: %w", err)
	}
	return nil
}

// Meter is what the proxy measures with.
func (t *Telemetry) Meter() metric.Meter { return t.meters.Meter(scope) }

// Tracer is what the proxy traces with; nil without OTLP.
func (t *Telemetry) Tracer() trace.Tracer {
	if t.collector == nil {
		return nil
	}
	return t.collector.traces.Tracer(scope)
}

// Shutdown pushes what is left, within ctx and five seconds at the most. A collector that does not take it is told in the log.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	if t.collector == nil {
		return t.meters.Shutdown(ctx)
	}
	t.collector.shutdown(ctx, t.meters)
	return nil
}
