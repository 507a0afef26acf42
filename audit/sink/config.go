package sink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

// Types of sinks.
const (
	Postgres = "postgres"
	Syslog   = "syslog"
	NATS     = "nats"
	OTLP     = "otlp"
)

// Config is one sink. A zero value means its default.
type Config struct {
	Name     string        `yaml:"name" doc:"what the sink is called in status, metrics and its cursor's file: small letters, digits and hyphens"`
	Type     string        `yaml:"type" oneof:"postgres|syslog|nats|otlp" doc:"what is at the other end"`
	URL      string        `yaml:"url" doc:"where: postgres://user@host/db, tls://host:6514 (syslog), tls://host:4222 (nats), https://host:4318/v1/logs (otlp); never with a password"`
	Required bool          `yaml:"required" default:"false" doc:"stanzas are refused while the sink is further behind than lag; otherwise a dead sink stops nothing"`
	Lag      time.Duration `yaml:"lag" default:"1m" doc:"how old the oldest event may be that a required sink does not have"`
	Batch    int           `yaml:"batch" default:"1000" doc:"events that are sent in one piece at the most"`
	Secret   string        `yaml:"secret_file" doc:"file with the password (postgres) or the token (nats, otlp)"`
	Roots    string        `yaml:"roots" doc:"PEM file of the authorities that may vouch for the receiver; left out: the system's"`
	Cert     string        `yaml:"cert" doc:"PEM file of our certificate for the receiver"`
	Key      string        `yaml:"key" doc:"PEM file of its key"`
	Message  int           `yaml:"message_bytes" default:"8192" doc:"syslog: a longer message is cut, and says so; what the receiver's own limit allows"`
	Stream   string        `yaml:"stream" default:"SALLYPORT" doc:"nats: the JetStream stream; it is made if there is none"`
	Subject  string        `yaml:"subject" default:"sallyport.audit" doc:"nats: subject of events; checkpoints go to SUBJECT.checkpoint, events to SUBJECT.event"`
}

// Limits of a configuration.
const (
	maxBatch   = 10000
	minMessage = 480 // RFC 5425 §4.3: every receiver takes 2048, and RFC 5424 §6.1 at least 480
	maxMessage = 1 << 20
)

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func (c Config) withDefaults() Config {
	if c.Lag == 0 {
		c.Lag = time.Minute
	}
	if c.Batch == 0 {
		c.Batch = 1000
	}
	if c.Message == 0 {
		c.Message = 8192
	}
	if c.Stream == "" {
		c.Stream = "SALLYPORT"
	}
	if c.Subject == "" {
		c.Subject = "sallyport.audit"
	}
	return c
}

// Check reports every fault of a configuration at once. It reads no file.
func (c Config) Check() error {
	c = c.withDefaults()
	var faults []error
	add := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if !nameForm.MatchString(c.Name) {
		add("name %q: must be 1 to 32 small letters, digits and hyphens", c.Name)
	}
	schemes := map[string][]string{Postgres: {"postgres", "postgresql"}, Syslog: {"tls"}, NATS: {"tls", "nats"}, OTLP: {"https", "http"}}[c.Type]
	u, err := url.Parse(c.URL)
	switch {
	case schemes == nil:
		add("type %q: must be postgres, syslog, nats or otlp", c.Type)
	case err != nil: // the error would repeat the URL, and with it a password
		add("url: not a URL")
	case !strings.Contains(" "+strings.Join(schemes, " ")+" ", " "+u.Scheme+" "):
		add("url: must begin with %s://", strings.Join(schemes, ":// or "))
	default:
		// The user of a NATS URL without a password is a token.
		if _, has := u.User.Password(); has || u.Query().Has("password") || u.Query().Has("sslpassword") || c.Type == NATS && u.User != nil {
			add("url: it must not hold a password; put that into secret_file")
		}
		if u.Host == "" && !(c.Type == Postgres && u.Query().Has("host")) {
			add("url: it names no host")
		}
	}
	if c.Lag < time.Second {
		add("lag %s: must be at least 1s", c.Lag)
	}
	if c.Batch < 1 || c.Batch > maxBatch {
		add("batch %d: must be between 1 and %d", c.Batch, maxBatch)
	}
	if c.Message < minMessage || c.Message > maxMessage {
		add("message_bytes %d: must be between %d and %d", c.Message, minMessage, maxMessage)
	}
	if (c.Cert == "") != (c.Key == "") {
		add("cert: it and key need each other")
	}
	return errors.Join(faults...)
}

// secret reads the file of the secret; no file means none.
func (c Config) secret() (string, error) {
	if c.Secret == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.Secret)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(text)), nil
}

// tls is how we speak TLS with the receiver. The files are read at each connection, so that renewed ones are taken.
func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Roots != "" {
		text, err := os.ReadFile(c.Roots)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s holds no certificate", c.Roots)
		}
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
