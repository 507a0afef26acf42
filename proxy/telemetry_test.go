package proxy_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"sallyport/internal/xmpptest"
	"sallyport/policy"
	"sallyport/proxy"
)

// observed is a gate's telemetry, kept in memory.
type observed struct {
	reader *sdkmetric.ManualReader
	spans  *tracetest.SpanRecorder
}

func observe(o *options) *observed {
	seen := &observed{sdkmetric.NewManualReader(), tracetest.NewSpanRecorder()}
	o.telemetry = proxy.Telemetry{
		Meter:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(seen.reader)).Meter("sallyport"),
		Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(seen.spans)).Tracer("sallyport"),
	}
	return seen
}

// points gives the measurements of now as lines: name{label=value,…} value. Histograms count.
func (o *observed) points(t *testing.T) []string {
	t.Helper()
	var all metricdata.ResourceMetrics
	must(t, o.reader.Collect(t.Context(), &all))
	var lines []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			add := func(set attribute.Set, value any) {
				lines = append(lines, fmt.Sprintf("%s{%s} %v", m.Name, labels(set), value))
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(p.Attributes, p.Count)
				}
			default:
				t.Errorf("%s is of a kind that nobody expects: %T", m.Name, data)
			}
		}
	}
	return lines
}

// labels writes a set in the order of its keys.
func labels(set attribute.Set) string {
	var all []string
	for _, kv := range set.ToSlice() {
		all = append(all, string(kv.Key)+"="+kv.Value.String())
	}
	return strings.Join(all, ",")
}

// tree gives each span that has ended as the path of its names, with the step at which it failed: link/dial!tcp.
func (o *observed) tree() []string {
	ended := o.spans.Ended()
	var paths []string
	for _, s := range ended {
		path := s.Name()
		for parent := s.Parent(); parent.IsValid(); {
			i := slices.IndexFunc(ended, func(p sdktrace.ReadOnlySpan) bool { return p.SpanContext().SpanID() == parent.SpanID() })
			if i < 0 {
				path = "?/" + path
				break
			}
			path = ended[i].Name() + "/" + path
			parent = ended[i].Parent()
		}
		for _, a := range s.Attributes() {
			if a.Key == "sallyport.step" {
				path += "!" + a.Value.AsString()
			}
		}
		paths = append(paths, path)
	}
	return paths
}

// scripted plays a conversation of testdata with telemetry on.
func scripted(t *testing.T, name string) (*stage, *observed) {
	t.Helper()
	script, o := readScript(t, "testdata/conversations/"+name+".txt")
	seen := observe(&o)
	s := newStage(t, o)
	xmpptest.Converse(t, s.Stage, script)
	s.proxy.Shutdown(t.Context())
	return s, seen
}

// TestSpans: a span for each set-up of a link, with its steps as children, both ways and on both sides.
func TestSpans(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		// Called; the question to the authoritative server is ours, and has steps of its own. Then the backend.
		"W01_inbound_dialback_over_tls": {"link", "link/tls", "link/dialback", "link/dialback/dial", "link/dialback/tls", "link", "link/dial", "link/dialback"},
		// Called by the backend; then a remote server, over TLS.
		"W04_outbound_dialback":          {"link", "link/dialback", "link/dialback/dial", "link", "link/dial", "link/tls", "link/dialback"},
		"M01_domain_does_not_resolve":    {"link", "link/dns", "link!dns"},
		"M02_authentication_fails":       {"link/dialback!dialback", "link!dialback"},
		"M03_certificate_does_not_prove": {"link/tls", "link!cert"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, seen := scripted(t, name)
			have := seen.tree()
			for _, path := range want {
				i := slices.Index(have, path)
				if i < 0 {
					t.Fatalf("no span %s in %q", path, seen.tree())
				}
				have = slices.Delete(have, i, i+1)
			}
			for _, path := range have {
				if strings.HasPrefix(path, "?") || !strings.HasPrefix(path, "link") {
					t.Errorf("a span that belongs to no link: %s", path)
				}
			}
		})
	}
}

// TestMeasurements: what happens is counted, under the labels that the reference has.
func TestMeasurements(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"W01_inbound_dialback_over_tls": {
			"sallyport.stanzas{direction=in,effect=allow} 1", "sallyport.policy.duration{} 1", "sallyport.audit.duration{} 1",
			"sallyport.links{channel=tls,door=outside,kind=in,proof=dialback+tls} 0", "sallyport.links{channel=plaintext,door=inside,kind=out,proof=none} 0",
			"sallyport.queue{door=inside} 0",
		},
		"M01_domain_does_not_resolve": {"sallyport.link.failures{door=outside,step=dns} 1", "sallyport.bounces{condition=remote-server-not-found,direction=out,told=true} 1"},
		"M04_forbidden":               {"sallyport.stanzas{direction=out,effect=deny} 1"},
		"W02_authoritative_server":    {"sallyport.dialback.verifications{door=outside,ours=true} 3", "sallyport.dialback.verifications{door=outside,ours=false} 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, seen := scripted(t, name)
			points := seen.points(t)
			for _, line := range want {
				if !slices.Contains(points, line) {
					t.Errorf("no %s in\n%s", line, strings.Join(points, "\n"))
				}
			}
			for _, p := range points {
				documented(t, p)
				if strings.HasPrefix(p, "sallyport.links{") && !strings.HasSuffix(p, " 0") {
					t.Errorf("counted up and not down: %s", p)
				}
			}
		})
	}
}

// Connections that are closed without a byte are counted by the key of the configuration that closed them.
func TestRefusedConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	o := options{limits: func(l *proxy.Limits) { l.PerAddress = 1 }}
	seen := observe(&o)
	s := newStage(t, o)
	xmpptest.Converse(t, s.Stage, "r connects outside\nx connects outside\nx closed\n")
	points := seen.points(t)
	if line := "sallyport.connections.refused{door=outside,reason=limits.connections_per_address} 1"; !slices.Contains(points, line) {
		t.Errorf("no %s in\n%s", line, strings.Join(points, "\n"))
	}
}

// What policy fails to decide is counted, whoever asked.
func TestPolicyFailuresAreCounted(t *testing.T) {
	t.Parallel()
	o := options{rego: "package sallyport.stanza\n\ndecision := {\"effect\": \"perhaps\", \"rule\": \"x\"}\n"}
	seen := observe(&o)
	s := newStage(t, o)
	for range 3 {
		if d := s.engine.Snapshot().Stanza(t.Context(), &policy.Input{}); d.Effect != policy.Deny || d.Rule != policy.RuleEngineError {
			t.Errorf("%+v", d)
		}
	}
	points := seen.points(t)
	if line := "sallyport.policy.failures{} 3"; !slices.Contains(points, line) {
		t.Errorf("no %s in\n%s", line, strings.Join(points, "\n"))
	}
}

// What cannot be recorded is counted.
func TestUnrecordedIsCounted(t *testing.T) {
	t.Parallel()
	o := options{recorder: func(r proxy.Recorder) proxy.Recorder { return brokenRecord{r} }}
	seen := observe(&o)
	s := newStage(t, o)
	xmpptest.Converse(t, s.Stage, include(t, "_backend_speaks")+"l sends <message from='romeo@corp.example/pc' to='juliet@remote.example' id='m1'/>\nb accepts backend\n")
	if points := seen.points(t); !slices.Contains(points, "sallyport.unrecorded{} 1") {
		t.Errorf("nothing unrecorded in\n%s", strings.Join(points, "\n"))
	}
}

// A condition that a policy invents does not make a measurement of its own.
func TestBouncesHaveFewConditions(t *testing.T) {
	t.Parallel()
	o := options{data: policy.Data{"federation": "open"}}
	seen := observe(&o)
	s := newStage(t, o)
	s.proxy.CountBounce("conflict")
	s.proxy.CountBounce("whatever-somebody-writes")
	if points := seen.points(t); !slices.Contains(points, "sallyport.bounces{condition=other,direction=out,told=true} 2") {
		t.Errorf("%s", strings.Join(points, "\n"))
	}
}

// documented holds a measurement to what Metrics says of it: its name, its labels, and their values.
func documented(t *testing.T, point string) {
	t.Helper()
	name, rest, _ := strings.Cut(point, "{")
	set, _, _ := strings.Cut(rest, "}")
	i := slices.IndexFunc(proxy.Metrics(), func(m proxy.Metric) bool { return m.Name == name })
	if i < 0 {
		t.Errorf("%s is in no reference", name)
		return
	}
	m, have := proxy.Metrics()[i], map[string]string{}
	for _, kv := range strings.FieldsFunc(set, func(r rune) bool { return r == ',' }) {
		k, v, _ := strings.Cut(kv, "=")
		have[k] = v
	}
	if len(have) != len(m.Labels) {
		t.Errorf("%s: the reference has the labels %v", point, m.Labels)
	}
	for _, l := range m.Labels {
		if !slices.Contains(l.Values, have[l.Name]) {
			t.Errorf("%s: %s is none of %v", point, l.Name, l.Values)
		}
	}
}

// TestMetricNames holds names to the conventions of OpenTelemetry and Prometheus: lower case, dots between words' groups, no unit and no
// "total" in the name, for the exporter adds them; a unit that UCUM knows; a sentence that says what is counted.
func TestMetricNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range proxy.Metrics() {
		if !regexp.MustCompile(`^sallyport(\.[a-z]+)+$`).MatchString(m.Name) || regexp.MustCompile(`total|count|second|byte`).MatchString(m.Name) {
			t.Errorf("%s: not a name by the conventions", m.Name)
		}
		if !regexp.MustCompile(`^(s|By|\{[a-z]+\})$`).MatchString(m.Unit) || !strings.HasSuffix(m.Meaning, ".") || seen[m.Name] {
			t.Errorf("%s: unit %q, meaning %q", m.Name, m.Unit, m.Meaning)
		}
		seen[m.Name] = true
		for _, l := range m.Labels {
			if len(l.Values) == 0 || len(l.Values) > 16 {
				t.Errorf("%s: label %s has %d values", m.Name, l.Name, len(l.Values))
			}
		}
	}
}
