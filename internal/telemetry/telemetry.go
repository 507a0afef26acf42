// Package telemetry starts and stops OpenTelemetry: measurements for Prometheus on an HTTP endpoint of our own, and traces and
// measurements pushed by OTLP where an endpoint is configured.
//
// It sets no global providers. What it makes is handed to the proxy, which knows the API alone.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// Config says where measurements go. The zero Config sends them nowhere.
type Config struct {
	Metrics string `yaml:"metrics" doc:"address of the Prometheus endpoint (/metrics, /healthz); empty: none"`
	OTLP    string `yaml:"otlp" doc:"URL of an OTLP/HTTP collector for traces and metrics; empty: none"`
}

// Telemetry is what Start made.
type Telemetry struct {
	meters *sdkmetric.MeterProvider
	traces *sdktrace.TracerProvider
	server *http.Server
	addr   net.Addr
}

// Start sets everything up and opens the Prometheus endpoint. Errors name the key that is at fault.
func Start(ctx context.Context, c Config, version string, log *slog.Logger) (*Telemetry, error) {
	about := resource.NewSchemaless(attribute.String("service.name", "sallyport"), attribute.String("service.version", version))
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	prom, err := exporter.New(exporter.WithRegisterer(registry))
	if err != nil {
		return nil, fmt.Errorf("making the Prometheus exporter: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(about), sdkmetric.WithReader(prom)}
	t := &Telemetry{}
	if c.OTLP != "" {
		reader, err := t.push(ctx, c.OTLP, about)
		if err != nil {
			return nil, err
		}
		options = append(options, sdkmetric.WithReader(reader))
	}
	t.meters = sdkmetric.NewMeterProvider(options...)
	if c.Metrics != "" {
		if err := t.serve(c.Metrics, registry, log); err != nil {
			return nil, errors.Join(err, t.Shutdown(ctx))
		}
	}
	return t, nil
}

// push sets up OTLP: traces by a provider of their own, measurements by the reader that is returned.
func (t *Telemetry) push(ctx context.Context, endpoint string, about *resource.Resource) (sdkmetric.Reader, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("telemetry.otlp %q is not an http or https URL", endpoint)
	}
	spans, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.JoinPath("v1/traces").String()))
	if err != nil {
		return nil, fmt.Errorf("telemetry.otlp: %w", err)
	}
	t.traces = sdktrace.NewTracerProvider(sdktrace.WithResource(about), sdktrace.WithBatcher(spans))
	measurements, err := otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(u.JoinPath("v1/metrics").String()))
	if err != nil {
		return nil, fmt.Errorf("telemetry.otlp: %w", err)
	}
	return sdkmetric.NewPeriodicReader(measurements, sdkmetric.WithInterval(30*time.Second)), nil
}

// serve opens the Prometheus endpoint.
func (t *Telemetry) serve(addr string, registry *prometheus.Registry, log *slog.Logger) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("telemetry.metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	t.addr = ln.Addr()
	t.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() {
		if err := t.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the metrics endpoint ended", "error", err)
		}
	}()
	return nil
}

// Addr is where the Prometheus endpoint listens, nil if there is none.
func (t *Telemetry) Addr() net.Addr { return t.addr }

// Meter is what the proxy measures with.
func (t *Telemetry) Meter() metric.Meter { return t.meters.Meter("sallyport") }

// Tracer is what the proxy traces with; without OTLP it drops everything.
func (t *Telemetry) Tracer() trace.Tracer {
	if t.traces == nil {
		return tracenoop.NewTracerProvider().Tracer("sallyport")
	}
	return t.traces.Tracer("sallyport")
}

// Shutdown pushes what is left and closes the endpoint, within ctx.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var errs []error
	if t.server != nil {
		errs = append(errs, t.server.Shutdown(ctx))
	}
	if t.traces != nil {
		errs = append(errs, t.traces.Shutdown(ctx))
	}
	return errors.Join(append(errs, t.meters.Shutdown(ctx))...)
}
