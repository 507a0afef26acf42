package sink

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"

	"sallyport/audit"
)

// patience is for how long one attempt waits where the collector asks for it (429 or 503, with Retry-After or not). Then the failure shows.
const patience = 5 * time.Second

// exporter sends log records to an OTLP collector over HTTP. Its Logger makes records as the SDK does and gathers them in batch; they leave
// by Export, whose error says whether the collector has taken them. One that takes only a part has not.
type exporter struct {
	out      *otlploghttp.Exporter
	provider *sdklog.LoggerProvider
	logger   log.Logger
	batch    gathering
}

func dialOTLP(ctx context.Context, cfg Config, node string, from audit.Place) (receiver, audit.Place, error) {
	options := []otlploghttp.Option{otlploghttp.WithEndpointURL(cfg.URL), otlploghttp.WithTimeout(sendTime),
		otlploghttp.WithCompression(otlploghttp.GzipCompression), otlploghttp.WithRetry(otlploghttp.RetryConfig{Enabled: true, InitialInterval: firstWait, MaxInterval: patience, MaxElapsedTime: patience})}
	secret, err := cfg.secret()
	if err != nil {
		return nil, from, err
	}
	if secret != "" {
		options = append(options, otlploghttp.WithHeaders(map[string]string{"Authorization": "Bearer " + secret}))
	}
	if cfg.Roots != "" || cfg.Cert != "" {
		config, err := cfg.tls()
		if err != nil {
			return nil, from, err
		}
		options = append(options, otlploghttp.WithTLSClientConfig(config))
	}
	e := new(exporter)
	if e.out, err = otlploghttp.New(ctx, options...); err != nil {
		return nil, from, err
	}
	about := resource.NewSchemaless(attribute.String("service.name", "sallyport"), attribute.String("service.instance.id", node))
	e.provider = sdklog.NewLoggerProvider(sdklog.WithResource(about), sdklog.WithProcessor(&e.batch), sdklog.WithAttributeValueLengthLimit(-1))
	e.logger = e.provider.Logger("sallyport/audit")
	return e, from, nil
}

func (e *exporter) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	e.provider.Shutdown(ctx)
	e.out.Shutdown(ctx)
}

func (e *exporter) send(ctx context.Context, events []event, at audit.Place) (audit.Place, error) {
	for i := range events {
		v := &events[i]
		severity := log.SeverityInfo
		if v.Decision.Effect == "deny" || v.Error != "" {
			severity = log.SeverityWarn
		}
		e.emit(ctx, v.Kind, v.Time, severity, string(v.line), attribute.String("id", v.ID.String()), attribute.Int64("seq", int64(v.Seq)),
			attribute.String("node", v.Node), attribute.Int("code", int(v.Code)))
	}
	return at, e.flush(ctx)
}

func (e *exporter) post(ctx context.Context, c checkpoint) error {
	e.emit(ctx, "checkpoint", c.time, log.SeverityInfo, c.text, attribute.String("id", c.id), attribute.String("node", c.node))
	return e.flush(ctx)
}

func (e *exporter) emit(ctx context.Context, kind string, at time.Time, severity log.Severity, body string, attributes ...attribute.KeyValue) {
	var r log.Record
	r.SetEventName("sallyport." + kind)
	r.SetTimestamp(at)
	r.SetObservedTimestamp(at)
	r.SetSeverity(severity)
	r.SetBody(attribute.StringValue(body))
	r.AddAttributes(attributes...)
	e.logger.Emit(ctx, r)
}

func (e *exporter) flush(ctx context.Context) error {
	records := e.batch.records
	e.batch.records = nil
	if len(records) == 0 {
		return nil
	}
	if err := e.out.Export(ctx, records); err != nil {
		return fmt.Errorf("the collector: %w", err)
	}
	return nil
}

// gathering is a processor that keeps what it is given. It is used by one goroutine.
type gathering struct{ records []sdklog.Record }

func (g *gathering) OnEmit(_ context.Context, r *sdklog.Record) error {
	g.records = append(g.records, r.Clone())
	return nil
}

func (g *gathering) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

func (g *gathering) Shutdown(context.Context) error { return nil }

func (g *gathering) ForceFlush(context.Context) error { return nil }
