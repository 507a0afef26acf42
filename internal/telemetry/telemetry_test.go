package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"

	"sallyport/internal/telemetry"
)

func start(t *testing.T, c telemetry.Config, log *slog.Logger) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.Start(t.Context(), c, "v1.2.3", log)
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

func count(t *testing.T, tel *telemetry.Telemetry, n int64) {
	t.Helper()
	counter, err := tel.Meter().Int64Counter("sallyport.stanzas")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), n)
}

func TestPrometheusEndpoint(t *testing.T) {
	t.Parallel()
	tel := start(t, telemetry.Config{}, slog.New(slog.DiscardHandler))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- tel.Serve(ctx, ln) }()
	count(t, tel, 3)
	base := "http://" + ln.Addr().String()
	body := get(t, base+"/metrics")
	for _, want := range []string{"\nsallyport_stanzas_total 3\n", `target_info{service_name="sallyport",service_version="v1.2.3"} 1`, "\ngo_goroutines "} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %q:\n%s", want, body)
		}
	}
	if got := get(t, base+"/healthz"); got != "ok\n" {
		t.Errorf("/healthz = %q", got)
	}
	for path, want := range map[string]int{"/metrics": http.StatusMethodNotAllowed, "/elsewhere": http.StatusNotFound} {
		resp, err := http.Post(base+path, "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("POST %s: %s, want %d", path, resp.Status, want)
		}
	}
	stop()
	if err := errors.Join(<-served, tel.Shutdown(t.Context())); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		conn.Close()
		t.Error("the endpoint is still open after the end")
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestOTLPReceivesSpansAndMeasurements(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]string{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Path] += string(b)
	}))
	defer collector.Close()
	tel := start(t, telemetry.Config{OTLP: collector.URL + "/otlp"}, slog.New(slog.DiscardHandler))
	_, span := tel.Tracer().Start(t.Context(), "set up a link")
	span.End()
	count(t, tel, 1)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for path, what := range map[string]string{"/otlp/v1/traces": "set up a link", "/otlp/v1/metrics": "sallyport.stanzas"} {
		for _, want := range []string{what, "service.name", "sallyport", "service.version", "v1.2.3"} {
			if !strings.Contains(seen[path], want) {
				t.Errorf("%s received no %q: %q", path, want, seen[path])
			}
		}
	}
}

// A collector that is gone costs one line in the log, and neither the start nor the end of the gate.
func TestCollectorThatIsGone(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer func() { close(release); hangs.Close(); refuses.Close() }()
	gone.Close()
	for name, url := range map[string]string{"gone": gone.URL, "refuses": refuses.URL, "hangs": hangs.URL} {
		var logged lockedBuffer
		tel := start(t, telemetry.Config{OTLP: url}, slog.New(slog.NewTextHandler(&logged, nil)))
		_, span := tel.Tracer().Start(t.Context(), "link")
		span.End()
		count(t, tel, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if err := tel.Shutdown(ctx); err != nil {
			t.Errorf("%s: Shutdown returns %v", name, err)
		}
		cancel()
		if text := logged.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "telemetry.otlp") || !strings.Contains(text, url) {
			t.Errorf("%s: logged:\n%s", name, text)
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestNothingIsGlobal(t *testing.T) {
	t.Parallel()
	traces, meters := otel.GetTracerProvider(), otel.GetMeterProvider()
	tel := start(t, telemetry.Config{}, slog.New(slog.DiscardHandler))
	if otel.GetTracerProvider() != traces || otel.GetMeterProvider() != meters {
		t.Error("Start sets global providers")
	}
	if tel.Tracer() != nil {
		t.Error("spans are made though nobody collects them")
	}
	count(t, tel, 1)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCollectorThatIsNoURL(t *testing.T) {
	t.Parallel()
	_, err := telemetry.Start(t.Context(), telemetry.Config{OTLP: "collector:4318"}, "v0", slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), `"collector:4318" is not an http or https URL`) {
		t.Errorf("Start = %v", err)
	}
}
