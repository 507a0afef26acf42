package receivers

import (
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"
)

// Collector takes log records over OTLP/HTTP, and answers what the test wants.
type Collector struct {
	URL string

	t       testing.TB
	address string
	http    *http.Server

	mu sync.Mutex
	// Guarded by mu.
	answers []Answer // for the next requests; then all is taken
	taken   []*logs.LogRecord
	asked   []string // the Authorization of each request
}

// Answer is a status other than 200, or how many records of a request are not taken.
type Answer struct {
	Status   int
	Rejected int64
}

// OTLP makes a collector.
func OTLP(t testing.TB) *Collector {
	t.Helper()
	c := &Collector{t: t, address: fmt.Sprintf("127.0.0.1:%d", FreePort(t))}
	c.URL = "http://" + c.address + "/v1/logs"
	t.Cleanup(c.Stop)
	return c
}

// Start opens its door.
func (c *Collector) Start() {
	c.t.Helper()
	ln, err := net.Listen("tcp", c.address)
	must(c.t, err)
	c.http = &http.Server{Handler: c}
	go c.http.Serve(ln)
}

// Stop closes it, and every connection.
func (c *Collector) Stop() {
	if c.http != nil {
		c.http.Close()
		c.http = nil
	}
}

// Next says what the next requests are answered.
func (c *Collector) Next(answers ...Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers = answers
}

// Taken are the records that were taken.
func (c *Collector) Taken() []*logs.LogRecord {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken[:len(c.taken):len(c.taken)]
}

// Asked are the Authorization headers of all requests.
func (c *Collector) Asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[:len(c.asked):len(c.asked)]
}

// IDs are the ids of the records that were taken, and how often each was.
func (c *Collector) IDs() map[string]int {
	n := make(map[string]int)
	for _, r := range c.Taken() {
		for _, a := range r.Attributes {
			if a.Key == "id" {
				n[a.Value.GetStringValue()]++
			}
		}
	}
	return n
}

func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request collector.ExportLogsServiceRequest
	body, err := gzip.NewReader(r.Body)
	if err != nil {
		return // it went away
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return
	}
	if r.URL.Path != "/v1/logs" || proto.Unmarshal(text, &request) != nil {
		c.t.Errorf("%s: not an OTLP request", r.URL.Path)
		return
	}
	out, err := proto.Marshal(c.take(w, r.Header.Get("Authorization"), &request))
	if err != nil {
		c.t.Error(err)
	}
	w.Write(out)
}

// take answers a request, but for its body.
func (c *Collector) take(w http.ResponseWriter, authorization string, request *collector.ExportLogsServiceRequest) *collector.ExportLogsServiceResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, authorization)
	var a Answer
	if len(c.answers) > 0 {
		a, c.answers = c.answers[0], c.answers[1:]
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	response := new(collector.ExportLogsServiceResponse)
	switch {
	case a.Status != 0:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(a.Status)
	case a.Rejected > 0:
		response.PartialSuccess = &collector.ExportLogsPartialSuccess{RejectedLogRecords: a.Rejected, ErrorMessage: "too large"}
	default:
		for _, resource := range request.ResourceLogs {
			for _, scope := range resource.ScopeLogs {
				c.taken = append(c.taken, scope.LogRecords...)
			}
		}
	}
	return response
}
