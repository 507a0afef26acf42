package sink_test

import (
	"strings"
	"testing"

	"sallyport/audit/sink"
)

// TestExposed: a receiver on another machine that is not held to TLS is told of, and no other.
func TestExposed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ, url, roots, says string
	}{
		{sink.Postgres, "postgres://gate@db.corp.example/audit", "", ""},
		{sink.Postgres, "postgres://gate@db.corp.example/audit?sslmode=verify-full", "", ""},
		{sink.Postgres, "postgres://gate@db.corp.example/audit?sslmode=verify-ca", "", ""},
		{sink.Postgres, "postgres://gate@db.corp.example/audit?sslmode=disable", "", "sslmode=disable"},
		{sink.Postgres, "postgres://gate@db.corp.example/audit?sslmode=prefer", "ca.pem", "sslmode=prefer"},
		{sink.Postgres, "postgres://gate@192.0.2.1:5432/audit?sslmode=allow", "", "sslmode=allow"},
		{sink.Postgres, "postgres://gate@db.corp.example/audit?sslmode=require", "", "any certificate"},
		{sink.Postgres, "postgres://gate@localhost/audit?sslmode=disable", "", ""},
		{sink.Postgres, "postgres://gate@[::1]:5432/audit?sslmode=disable", "", ""},
		{sink.Postgres, "postgres://gate@localhost:1,db.corp.example:2/audit?sslmode=disable", "", "sslmode=disable"},
		{sink.Postgres, "postgres:///audit?host=/run/postgresql", "", ""},
		{sink.Postgres, "postgres:///audit?host=/run/postgresql&sslmode=disable", "", ""},
		{sink.Postgres, "postgres:///audit?host=db.corp.example&sslmode=disable", "", "sslmode=disable"},
		{sink.NATS, "nats://bus.corp.example:4222", "", "nats://"},
		{sink.NATS, "nats://bus.corp.example:4222", "ca.pem", ""},
		{sink.NATS, "tls://bus.corp.example:4222", "", ""},
		{sink.NATS, "nats://127.0.0.5:4222", "", ""},
		{sink.OTLP, "http://otel.corp.example:4318/v1/logs", "", "http://"},
		{sink.OTLP, "http://[::ffff:127.0.0.1]:4318/v1/logs", "", ""},
		{sink.OTLP, "https://otel.corp.example:4318/v1/logs", "", ""},
		{sink.Syslog, "tls://siem.corp.example", "", ""},
	} {
		got := sink.Config{Type: c.typ, URL: c.url, Roots: c.roots}.Exposed()
		if (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: %q, want %q", c.url, got, c.says)
		}
	}
	if (sink.Config{Name: "siem", Type: sink.Syslog, URL: "tcp://siem.corp.example:514"}).Check() == nil {
		t.Error("syslog without TLS is taken")
	}
}
