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
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// Config says where measurements go. The zero Config sends them nowhere.
type Config struct {
	Metrics string `yaml:"metrics" default:"" doc:"address of the Prometheus endpoint (/metrics, /healthz); empty: none"`
	OTLP    string `yaml:"otlp" default:"" doc:"URL of an OTLP/HTTP collector for traces and metrics; empty: none"`
}

// scope names our instruments and spans among those of the libraries.
const scope = "sallyport"

// shutdownTime bounds the last push and the last scrape.
const shutdownTime = 5 * time.Second

// Telemetry is what Start made.
type Telemetry struct {
	meters    *sdkmetric.MeterProvider
	collector *collector // nil without OTLP
	server    *http.Server
	served    chan struct{} // closed when the server has ended
	addr      net.Addr
}

// Start sets everything up and opens the Prometheus endpoint. Errors name the key that is at fault; that a collector does not answer is
// none.
func Start(ctx context.Context, c Config, version string, log *slog.Logger) (*Telemetry, error) {
	about := resource.NewSchemaless(attribute.String("service.name", "sallyport"), attribute.String("service.version", version))
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	scraped, err := exporter.New(exporter.WithRegisterer(registry), exporter.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("making the Prometheus exporter: %w", err)
	}
	t := &Telemetry{}
	options := []sdkmetric.Option{sdkmetric.WithResource(about), sdkmetric.WithReader(scraped)}
	if c.OTLP != "" {
		if t.collector, err = newCollector(ctx, c.OTLP, about, log); err != nil {
			return nil, fmt.Errorf("telemetry.otlp: %w", err)
		}
		options = append(options, sdkmetric.WithReader(t.collector.reader))
	}
	t.meters = sdkmetric.NewMeterProvider(options...)
	if c.Metrics != "" {
		if err := t.serve(c.Metrics, registry, log); err != nil {
			return nil, errors.Join(fmt.Errorf("telemetry.metrics: %w", err), t.Shutdown(ctx))
		}
	}
	return t, nil
}

// serve opens the Prometheus endpoint.
func (t *Telemetry) serve(addr string, registry *prometheus.Registry, log *slog.Logger) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	complaints := slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second, ErrorLog: complaints}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	t.addr = ln.Addr()
	t.server = &http.Server{Handler: mux, ReadTimeout: 5 * time.Second, WriteTimeout: 15 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: complaints}
	t.served = make(chan struct{})
	go func() {
		defer close(t.served)
		if err := t.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the metrics endpoint ended", "error", err)
		}
	}()
	return nil
}

// Addr is where the Prometheus endpoint listens, nil if there is none.
func (t *Telemetry) Addr() net.Addr { return t.addr }

// Meter is what the proxy measures with.
func (t *Telemetry) Meter() metric.Meter { return t.meters.Meter(scope) }

// Tracer is what the proxy traces with; without OTLP it drops everything.
func (t *Telemetry) Tracer() trace.Tracer {
	if t.collector == nil {
		return tracenoop.NewTracerProvider().Tracer(scope)
	}
	return t.collector.traces.Tracer(scope)
}

// Shutdown pushes what is left and closes the endpoint, within ctx and five seconds at the most. A collector that does not take the
// rest is told in the log; the error is about the endpoint alone.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	var err error
	if t.server != nil {
		if err = t.server.Shutdown(ctx); err != nil {
			err = errors.Join(err, t.server.Close())
		}
		<-t.served
	}
	if t.collector == nil {
		return errors.Join(err, t.meters.Shutdown(ctx))
	}
	t.collector.shutdown(ctx, t.meters)
	return err
}
