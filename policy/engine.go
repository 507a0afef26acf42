package policy

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where the operator's files are and how decisions are made. Zero values stand for the defaults.
type Config struct {
	Dir       string        `yaml:"dir" doc:"directory of the operator's *.rego, *.json, *.yaml and *.csv; empty: the shipped policy alone"`
	Mode      string        `yaml:"mode" default:"enforce" doc:"enforce: decisions hold; observe: they are recorded as would-be, and everything passes"`
	Watch     time.Duration `yaml:"watch" default:"10s" doc:"how often dir is looked at for changes, which then take effect as by SIGHUP; -1s: never"`
	Candidate string        `yaml:"candidate" doc:"directory of a draft that is judged beside the policy in force, for nothing but to see where they differ: sallyport status lists it"`
	Sample    int           `yaml:"sample" default:"10" doc:"one stanza in so many is judged by the candidate too"`
	Timeout   time.Duration `yaml:"timeout" default:"100ms" doc:"an evaluation that takes longer is a deny"`
	Cache     int           `yaml:"cache" default:"65536" doc:"decisions that are remembered at the most; about 400 bytes each, and never more than 3 kB"`

	// Log takes what an operator must know of the rules in force: that they fail. Nil: nobody.
	Log *slog.Logger `yaml:"-"`
}

func (c Config) withDefaults() (Config, error) {
	switch c.Mode {
	case "":
		c.Mode = "enforce"
	case "enforce", "observe":
	default:
		return c, Faults{{Text: fmt.Sprintf("policy.mode is %q, must be enforce or observe", c.Mode)}}
	}
	if c.Sample < 0 {
		return c, Faults{{Text: "policy.sample must not be negative"}}
	}
	if c.Sample == 0 {
		c.Sample = 10
	}
	if c.Watch == 0 {
		c.Watch = 10 * time.Second
	}
	if c.Timeout < 0 || c.Cache < 0 {
		return c, Faults{{Text: "policy.timeout and policy.cache must not be negative"}}
	}
	if c.Timeout == 0 {
		c.Timeout = 100 * time.Millisecond
	}
	if c.Cache == 0 {
		c.Cache = 65536
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Engine holds the policy in force. Its methods may be called from any goroutine.
type Engine struct {
	config   Config
	failures *failures

	loading sync.Mutex        // one Reload at a time
	look    [sha256.Size]byte // of Dir, when it was last read
	current atomic.Pointer[Snapshot]
	shadow  *Shadow // nil without a candidate
}

// New loads the policy. The error holds all [Faults] that were found.
func New(c Config, base Data) (*Engine, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	look := c.look() // before it is read: what changes meanwhile is read again
	s, err := load(c, base)
	if err != nil {
		return nil, err
	}
	e := &Engine{config: c, failures: &failures{log: c.Log}, look: look}
	s.failures = e.failures
	e.current.Store(s)
	if c.Candidate != "" {
		draft, err := e.draft(base)
		if err != nil {
			return nil, err
		}
		e.shadow = newShadow(draft, c.Sample)
	}
	return e, nil
}

// draft loads the candidate. It only ever says what it would do, and its failures are no alarm.
func (e *Engine) draft(base Data) (*Snapshot, error) {
	c := e.config
	c.Dir, c.Mode, c.Cache = c.Candidate, "observe", max(1, c.Cache/8)
	s, err := load(c, base)
	if err == nil {
		s.failures = &failures{log: slog.New(slog.DiscardHandler)}
	}
	return s, err
}

// Shadow compares a candidate with the policy in force; nil when there is none.
func (e *Engine) Shadow() *Shadow { return e.shadow }

// Reload reads the operator's files again and takes them and base into force, all at once. On an error, which holds all
// [Faults], nothing has changed. When nothing differs the snapshot, and what it remembers, stays.
func (e *Engine) Reload(base Data) error {
	e.loading.Lock()
	defer e.loading.Unlock()
	e.look = e.config.look()
	s, err := load(e.config, base)
	if err != nil {
		return err
	}
	if e.shadow != nil {
		// A draft that does not load must not hold the policy back.
		if draft, err := e.draft(base); err != nil {
			e.config.Log.Error("the candidate does not load; the one before is compared with on", "reason", oneLine(err))
		} else {
			e.shadow.use(draft)
		}
	}
	if s.revision != e.current.Load().revision {
		s.failures = e.failures
		e.current.Store(s)
	}
	return nil
}

// Watch is how often [Engine.Stale] is to be asked; not above 0: never.
func (e *Engine) Watch() time.Duration { return e.config.Watch }

// Failures counts the decisions that policy failed to make since the start: those with the rule [RuleEngineError].
func (e *Engine) Failures() uint64 { return e.failures.count.Load() }

// Snapshot is the policy in force now. It stays what it is while another comes into force.
func (e *Engine) Snapshot() *Snapshot { return e.current.Load() }
