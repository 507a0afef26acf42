package sink_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"sallyport/audit/sink"
)

// otlpServer is a collector that answers what the test wants.
type otlpServer struct {
	t       *testing.T
	address string
	http    *http.Server

	mu sync.Mutex
	// Guarded by mu.
	answers []answer // for the next requests; then all is taken
	taken   []*logs.LogRecord
	asked   []string // the Authorization of each request
}

type answer struct {
	status   int
	rejected int64
}

func (s *otlpServer) start() {
	s.t.Helper()
	ln, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.http = &http.Server{Handler: s}
	go s.http.Serve(ln)
}

func (s *otlpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request collector.ExportLogsServiceRequest
	body, err := gzip.NewReader(r.Body)
	if err != nil {
		s.t.Error(err)
		return
	}
	text, err := io.ReadAll(body)
	if err != nil || r.URL.Path != "/v1/logs" || proto.Unmarshal(text, &request) != nil {
		s.t.Errorf("%s: not an OTLP request: %v", r.URL.Path, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Header.Get("Authorization"))
	var a answer
	if len(s.answers) > 0 {
		a, s.answers = s.answers[0], s.answers[1:]
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	if a.status != 0 {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(a.status)
		return
	}
	response := new(collector.ExportLogsServiceResponse)
	if a.rejected > 0 {
		response.PartialSuccess = &collector.ExportLogsPartialSuccess{RejectedLogRecords: a.rejected, ErrorMessage: "too large"}
	} else {
		for _, resource := range request.ResourceLogs {
			for _, scope := range resource.ScopeLogs {
				s.taken = append(s.taken, scope.LogRecords...)
			}
		}
	}
	out, err := proto.Marshal(response)
	if err != nil {
		s.t.Error(err)
	}
	w.Write(out)
}

func (s *otlpServer) next(answers ...answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers = answers
}

// has says whether records with all these ids were taken, and a checkpoint.
func (s *otlpServer) has(ids map[string]bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, checkpoint := map[string]bool{}, false
	for _, r := range s.taken {
		checkpoint = checkpoint || r.EventName == "sallyport.checkpoint" && r.Body.GetStringValue() == signed
		for _, a := range r.Attributes {
			if a.Key == "id" && strings.Contains(r.Body.GetStringValue(), a.Value.GetStringValue()) {
				seen[a.Value.GetStringValue()] = true
			}
		}
	}
	for id := range ids {
		if !seen[id] {
			return false
		}
	}
	return checkpoint
}

const signed = "gate-1\n30\nroot\n\n— gate-1 signature\n"

// TestOTLP: a collector that asks to wait, takes a part, and is gone for a while has each event in the end, and a checkpoint.
func TestOTLP(t *testing.T) {
	t.Parallel()
	s := &otlpServer{t: t, address: fmt.Sprintf("127.0.0.1:%d", freePort(t))}
	s.next(answer{status: http.StatusTooManyRequests}, answer{status: http.StatusServiceUnavailable}, answer{rejected: 1})
	s.start()
	t.Cleanup(func() { s.http.Close() })
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := openGate(t, sink.Config{Name: "collector", Type: sink.OTLP, URL: "http://" + s.address + "/v1/logs", Secret: secret, Batch: 20})
	g.set.Checkpoint([]byte(signed))
	g.cross(30)
	g.until("a part that was rejected shows", func() bool { return strings.Contains(g.set.Status()[0].Error, "too large") })
	g.until("all that was refused arrives", func() bool { return s.has(g.ids) })
	s.http.Close()
	g.cross(30)
	g.until("the failure shows", func() bool { return g.set.Status()[0].Error != "" })
	s.start()
	g.until("all arrives", func() bool { return s.has(g.ids) })
	g.arrive()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.asked {
		if a != "Bearer token" {
			t.Errorf("Authorization %q", a)
		}
	}
}
