package telemetry_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/telemetry"
)

func TestPrometheusEndpoint(t *testing.T) {
	t.Parallel()
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Metrics: "127.0.0.1:0"}, "v0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(t.Context())
	counter, err := tel.Meter().Int64Counter("sallyport.stanzas")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 3)
	body := get(t, "http://"+tel.Addr().String()+"/metrics")
	for _, want := range []string{"sallyport_stanzas_total", "} 3", "service_name=\"sallyport\"", "go_goroutines"} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %q:\n%s", want, body)
		}
	}
	if got := get(t, "http://"+tel.Addr().String()+"/healthz"); got != "ok\n" {
		t.Errorf("/healthz = %q", got)
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
	seen := map[string]int{}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Path] += int(n)
	}))
	defer collector.Close()
	tel, err := telemetry.Start(t.Context(), telemetry.Config{OTLP: collector.URL}, "v0", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracer().Start(t.Context(), "link")
	span.End()
	counter, err := tel.Meter().Int64Counter("sallyport.stanzas")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 1)
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/traces", "/v1/metrics"} {
		if seen[path] == 0 {
			t.Errorf("the collector received nothing at %s; it saw %v", path, seen)
		}
	}
}

func TestFaultsNameTheKey(t *testing.T) {
	t.Parallel()
	for _, c := range []telemetry.Config{{OTLP: "collector:4318"}, {Metrics: "nowhere"}} {
		_, err := telemetry.Start(t.Context(), c, "v0", slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "telemetry.") {
			t.Errorf("Start(%+v) = %v, want an error that names the key", c, err)
		}
	}
}
