// Package telemetry starts and stops OpenTelemetry: measurements for Prometheus on an HTTP endpoint, and traces and
// measurements pushed by OTLP where a collector is configured.
//
// It sets no global providers. What it makes is handed to the proxy, which knows the OpenTelemetry API alone and measures just the same
// when nothing is collected.
//
// Telemetry never stands in the way of stanzas: what a collector does not take is dropped, said once in the log, and said again when
// it takes it; the gate neither waits for it nor ends with an error because of it.
package telemetry
