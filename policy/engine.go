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
	Bundle    *BundleConfig `yaml:"bundle" doc:"a signed bundle of rules and data that a server gives out; left out: none"`
	Candidate string        `yaml:"candidate" doc:"directory of a draft that is judged beside the policy in force, for nothing but to see where they differ: sallyport status lists it"`
	Sample    int           `yaml:"sample" default:"10" doc:"one stanza in so many is judged by the candidate too"`
	Timeout   time.Duration `yaml:"timeout" default:"100ms" doc:"an evaluation that takes longer is a deny"`
	Cache     int           `yaml:"cache" default:"65536" doc:"decisions that are remembered at the most; about 400 bytes each, and never more than 3 kB"`
	EndsSoon  time.Duration `yaml:"ends_soon" default:"336h" doc:"how long before their end grants and dated peers are told of: daily in the log, by sallyport check and by sallyport status"`

	History      string `yaml:"history" doc:"directory in which each revision that was in force is kept, for sallyport policy explain and replay; left out: policy in audit.dir"`
	HistoryCount int    `yaml:"history_count" default:"1000" doc:"revisions that are kept at the most; those that were last in force stay"`
	HistoryBytes int64  `yaml:"history_bytes" default:"256MiB" doc:"bytes that they take on the disk, compressed, at the most"`

	// Supplies come from elsewhere than Dir and are in force from the start.
	Supplies []Supply `yaml:"-"`
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
	if c.EndsSoon < 0 {
		return c, Faults{{Text: "policy.ends_soon must not be negative"}}
	}
	if c.EndsSoon == 0 {
		c.EndsSoon = 14 * 24 * time.Hour
	}
	if c.Cache == 0 {
		c.Cache = 65536
	}
	if c.HistoryCount < 0 || c.HistoryBytes < 0 {
		return c, Faults{{Text: "policy.history_count and policy.history_bytes must not be negative"}}
	}
	if c.HistoryCount == 0 {
		c.HistoryCount = 1000
	}
	if c.HistoryBytes == 0 {
		c.HistoryBytes = 256 << 20
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

	loading sync.Mutex        // one Reload at a time; guards Mode and Supplies of config, too
	base    Data              // of the configuration, in force
	made    *material         // what is in force is made of, until KeepHistory is called
	look    [sha256.Size]byte // of Dir, when it was last read
	current atomic.Pointer[Snapshot]
	keeps   *history // of what is in force; nil: nothing is kept
	shadow  *Shadow  // nil without a candidate
}

// New loads the policy. The error holds all [Faults] that were found.
func New(c Config, base Data) (*Engine, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	look := c.look() // before it is read: what changes meanwhile is read again
	s, m, err := load(c, base)
	if err != nil {
		return nil, err
	}
	e := &Engine{config: c, failures: &failures{log: c.Log}, look: look, base: base}
	s.failures = e.failures
	e.current.Store(s)
	e.made = m
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
	s, _, err := load(c, base)
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
	return e.load(e.config, base)
}

// ReloadAs is Reload with another mode.
func (e *Engine) ReloadAs(mode string, base Data) error {
	e.loading.Lock()
	defer e.loading.Unlock()
	c := e.config
	c.Mode = mode
	c, err := c.withDefaults()
	if err != nil {
		return err
	}
	return e.load(c, base)
}

// load takes what c and base say into force. The caller holds loading.
func (e *Engine) load(c Config, base Data) error {
	defer aside()()
	look := c.look()
	s, m, err := load(c, base)
	e.look = look
	if err != nil {
		return err
	}
	e.config.Mode, e.config.Supplies, e.base = c.Mode, c.Supplies, base
	if e.shadow != nil {
		// A draft that does not load must not hold the policy back.
		if draft, err := e.draft(base); err != nil {
			e.config.Log.Error("the candidate does not load; the one before is compared with on", "reason", oneLine(err))
		} else {
			e.shadow.use(draft)
		}
	}
	if now := e.current.Load(); s.revision != now.revision || s.observe != now.observe {
		e.enforce(s, m)
	}
	return nil
}

// enforce puts a snapshot in force, and keeps what it was made of.
func (e *Engine) enforce(s *Snapshot, m *material) {
	s.failures = e.failures
	e.current.Store(s)
	if e.keeps == nil {
		e.made = m
		return
	}
	e.keep(m)
}

// KeepHistory has the revision that is in force, and each that will be, kept in [Config].History: what decides on traffic, and not what a
// tool loads.
func (e *Engine) KeepHistory() {
	e.loading.Lock()
	defer e.loading.Unlock()
	if e.config.History == "" {
		return
	}
	e.keeps = &history{dir: e.config.History, count: e.config.HistoryCount, bytes: e.config.HistoryBytes}
	e.keep(e.made)
	e.made = nil
}

func (e *Engine) keep(m *material) {
	if err := e.keeps.keep(m); err != nil {
		e.config.Log.Error("the revision in force cannot be kept; explain and replay will not have it", "revision", m.revision, "reason", oneLine(err),
			"advice", "see policy.history: space, permissions, disk")
	}
}

// Watch is how often [Engine.Stale] is to be asked; not above 0: never.
func (e *Engine) Watch() time.Duration { return e.config.Watch }

// Failures counts the decisions that policy failed to make since the start: those with the rule [RuleEngineError].
func (e *Engine) Failures() uint64 { return e.failures.count.Load() }

// Snapshot is the policy in force now. It stays what it is while another comes into force.
func (e *Engine) Snapshot() *Snapshot { return e.current.Load() }
