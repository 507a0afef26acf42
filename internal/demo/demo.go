package demo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Gate is the running gate, as its operator sees it.
type Gate interface {
	// Status lists the live links.
	Status(ctx context.Context) (StatusView, error)
	// VerifyRecord checks the gate's audit directory.
	VerifyRecord(ctx context.Context) (RecordView, error)
	// Stop drains the gate and waits until it is gone.
	Stop() error
}

// StatusView is what the demo needs of the gate's status.
type StatusView struct{ Links []Link }

// Link is one stream of the gate, in the words of `sallyport status --json`.
type Link struct {
	Door    string   `json:"door"`    // inside, outside
	Kind    string   `json:"kind"`    // in: the other server opened it; out: the gate did
	Pairs   []string `json:"pairs"`   // "from → to"
	State   string   `json:"state"`   // opening, up, waiting
	Channel string   `json:"channel"` // plaintext, tls
	Proof   string   `json:"proof"`   // none, dialback, dialback+tls, pkix
	TLS     string   `json:"tls"`     // version and cipher
	Peer    string   `json:"peer"`    // address
	Stanzas uint64   `json:"stanzas"` // carried so far
}

// RecordView is what verifying the record found.
type RecordView struct {
	Events  int
	Problem string // empty: the record verifies
}

// Options say how to play.
type Options struct {
	Once  bool   // end by itself; else stay up until ctx ends
	JSON  bool   // print one object at the end and nothing before
	Keep  string // leave configuration, certificates, policy and record in this directory; default: a temporary one, removed
	Out   io.Writer
	Color bool // Out is a terminal that takes colours
	// Program is how a person calls sallyport, for the hints; default: as this process was called.
	Program string
	// StartGate starts a gate from a configuration file and returns when it takes streams.
	StartGate func(ctx context.Context, configPath string) (Gate, error)

	patience time.Duration // for tests
}

// Result is what came of the run. Stanzas of all users are counted, answers to iqs included.
type Result struct {
	OK             bool     `json:"ok"`
	Sent           int      `json:"sent"`
	Delivered      int      `json:"delivered"`
	Refused        int      `json:"refused"`         // forbidden, and kept from arriving
	Bounced        int      `json:"bounced"`         // came back to their sender with a reason
	Lost           int      `json:"lost"`            // neither arrived nor came back nor are recorded as refused
	Recorded       int      `json:"recorded"`        // have their line in the record
	AtLink         int      `json:"refused_at_link"` // never reached the gate: their whole domain was refused, which is recorded
	Exposed        int64    `json:"plaintext_stanza_bytes_outside"`
	Secured        int64    `json:"tls_bytes_outside"`
	Links          []Link   `json:"links"`
	RecordEvents   int      `json:"record_events"`
	RecordVerified bool     `json:"record_verified"`
	Config         string   `json:"config,omitempty"` // the configuration that was kept
	Faults         []string `json:"faults"`           // expectations that did not hold
}

// playTime bounds the play from the gate's start to the last look at its record.
const playTime = 2 * time.Minute

// Run plays the demo. The error is about what kept it from playing; what the gate did wrong is in the Result.
func Run(ctx context.Context, o Options) (Result, error) {
	f, err := makeFolder(o.Keep)
	if err != nil {
		return Result{}, err
	}
	defer f.remove()
	cast, err := assemble(ctx, f)
	if err != nil {
		return Result{}, err
	}
	defer cast.close()
	p := &play{cast: cast, ledger: newLedger(), show: newScreen(o, f), patience: cmp.Or(o.patience, defaultPatience)}
	gate, err := o.StartGate(ctx, f.config())
	if err != nil {
		return Result{}, fmt.Errorf("starting the gate: %w", err)
	}
	p.gate = gate
	res := p.run(ctx, f)
	if err := p.show.end(res); err != nil {
		return res, errors.Join(err, gate.Stop())
	}
	if !o.Once {
		p.show.hints(f)
		<-ctx.Done()
	}
	cast.close()
	if err := gate.Stop(); err != nil {
		return res, fmt.Errorf("stopping the gate: %w", err)
	}
	return res, nil
}

// run plays all acts and looks at everything afterwards.
func (p *play) run(ctx context.Context, f folder) Result {
	ctx, cancel := context.WithTimeout(ctx, playTime)
	defer cancel()
	stopListening := p.listen(ctx)
	p.show.cast(p.cast)
	p.allowed(ctx)
	p.forbidden(ctx)
	res := Result{Faults: append([]string{}, p.faults...), Links: []Link{}}
	p.inspectLinks(ctx, &res)
	stopListening()
	p.inspectRecord(ctx, f, &res)
	p.inspectWire(&res)
	p.ledger.count(&res)
	res.OK = len(res.Faults) == 0
	if !f.temporary {
		res.Config = f.config()
	}
	return res
}

func (r *Result) fault(format string, args ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

func printJSON(w io.Writer, res Result) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(res)
}
