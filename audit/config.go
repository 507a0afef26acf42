package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Config says where the record is kept and how carefully. A zero value means its default.
type Config struct {
	Dir          string        `yaml:"dir" default:"/var/lib/sallyport/audit" doc:"directory of the record; the gate's own, on a disk with room"`
	Durability   string        `yaml:"durability" default:"sync" doc:"sync: a stanza passes when its event is on the disk; async: when it is written, and the disk follows within 100 ms"`
	OnFailure    string        `yaml:"on_failure" default:"refuse" doc:"what cannot be recorded is answered with resource-constraint (refuse), or passes and is counted in an audit.gap event (pass)"`
	Patience     time.Duration `yaml:"patience" default:"10s" doc:"how long a stanza waits for a disk that does not answer; then, and until it answers again, on_failure says what happens"`
	Node         string        `yaml:"node" default:"" doc:"name of this gate in each event; default: the host's name"`
	SegmentBytes int64         `yaml:"segment_bytes" default:"64MiB" doc:"a segment that has reached this size is closed and a new one begun"`
	SegmentAge   time.Duration `yaml:"segment_age" default:"24h" doc:"a segment that is older than this is closed and a new one begun with the next event"`
	Compress     string        `yaml:"compress" default:"zstd" doc:"closed segments are compressed (zstd; zstdcat reads them), or left as they are (none)"`
	Retention    Retention     `yaml:"retention" default:"" doc:"how long events are kept, by the retention class that policy gave them; default stands for all others, and what has no term is kept for good"`
	LowSpace     int64         `yaml:"low_space" default:"1GiB" doc:"a warning is logged and recorded when the disk has less than this left"`

	Checkpoint   time.Duration `yaml:"checkpoint" default:"60s" doc:"how often the gate signs what the record holds, also when nothing happens"`
	CheckpointTo string        `yaml:"checkpoint_to" default:"" doc:"a second file that each checkpoint is appended to, on a disk that is not in the hands of who has audit.dir"`
	Secrets      string        `yaml:"secrets" default:"" doc:"directory of the record's own secrets, such as the key that signs checkpoints, made at the first start; default: that of audit.dir with .secrets behind its name"`

	// OnCheckpoint gets each signed checkpoint, one after another, to post it elsewhere too. It may take its time: checkpoints that come
	// meanwhile wait, or are left out where they are many. Nil: nobody.
	OnCheckpoint func(signed []byte) `yaml:"-"`

	Level   string  `yaml:"level" default:"metadata" doc:"how much is recorded of a stanza where policy does not say: none, link, metadata, sealed or content"`
	Content int64   `yaml:"content" default:"64KiB" doc:"body, subject and markup of a stanza are each recorded up to this length (levels sealed and content); what is longer is cut, and the event says so; at most 512KiB"`
	Sealing Sealing `yaml:"sealing" doc:"the officers who can open what is recorded at level sealed"`

	// Needed is the oldest segment that a sink which has to carry the record still needs: none from it on is deleted. ok is false when
	// none is needed, and an error keeps all. Nil: there are no sinks.
	Needed func() (segment int, ok bool, err error) `yaml:"-"`

	// Log takes what an operator must know of the record itself: that the disk fails, or works again. Nil: nobody.
	Log *slog.Logger `yaml:"-"`
}

// Values of Config.Durability and Config.OnFailure.
const (
	Sync   = "sync"
	Async  = "async"
	Refuse = "refuse"
	Pass   = "pass"
)

// Values of Config.Compress.
const (
	Zstd = "zstd"
	None = "none"
)

// Check reports every fault of a configuration at once, defaults filled in.
func (c Config) Check() error {
	c = c.withDefaults()
	var faults []error
	if c.Durability != Sync && c.Durability != Async {
		faults = append(faults, fmt.Errorf("audit.durability %q: must be sync or async", c.Durability))
	}
	if c.OnFailure != Refuse && c.OnFailure != Pass {
		faults = append(faults, fmt.Errorf("audit.on_failure %q: must be refuse or pass", c.OnFailure))
	}
	if c.Patience < LeastPatience || c.Patience > MostPatience {
		faults = append(faults, fmt.Errorf("audit.patience %s: must be between %s and %s", c.Patience, LeastPatience, MostPatience))
	}
	if c.Compress != Zstd && c.Compress != None {
		faults = append(faults, fmt.Errorf("audit.compress %q: must be zstd or none", c.Compress))
	}
	if c.SegmentBytes < 0 {
		faults = append(faults, fmt.Errorf("audit.segment_bytes %d: must be positive", c.SegmentBytes))
	}
	if c.SegmentAge < 0 {
		faults = append(faults, fmt.Errorf("audit.segment_age %s: must be positive", c.SegmentAge))
	}
	if c.LowSpace < 0 {
		faults = append(faults, fmt.Errorf("audit.low_space %d: must be positive", c.LowSpace))
	}
	if c.Checkpoint < time.Second || c.Checkpoint > time.Hour {
		faults = append(faults, fmt.Errorf("audit.checkpoint %s: must be between 1s and 1h", c.Checkpoint))
	}
	if within(c.Secrets, c.Dir) {
		faults = append(faults, fmt.Errorf("audit.secrets %s: must not be in audit.dir: a copy of the record would carry them", c.Secrets))
	}
	level, err := ParseLevel(c.Level)
	switch {
	case err != nil:
		faults = append(faults, fmt.Errorf("audit.level: %w", err))
	case level == LevelSealed && !c.Sealing.Named():
		faults = append(faults, errors.New("audit.level sealed: needs somebody who can open it; name the officers in audit.sealing.recipients"))
	}
	if c.Content < 0 || c.Content > MaxContent {
		faults = append(faults, fmt.Errorf("audit.content %d: must be from 1 to %d bytes", c.Content, MaxContent))
	}
	c.Sealing.Faults(func(key, fault string) { faults = append(faults, fmt.Errorf("audit.sealing.%s: %s", key, fault)) })
	return errors.Join(faults...)
}

// SecretsDir is where the record's own secrets are.
func (c Config) SecretsDir() string { return c.withDefaults().Secrets }

// within says whether a path is a directory or below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}

// What audit.patience can be: longer than a disk takes now and then, and not for ever.
const (
	LeastPatience = time.Second
	MostPatience  = 10 * time.Minute
)

// What of a body is recorded. The longest a line can then be, with every byte escaped three times over and encrypted, is below maxLine.
const (
	defaultContent = 64 << 10
	// MaxContent is the most that audit.content can be.
	MaxContent = 512 << 10
)

func (c Config) withDefaults() Config {
	if c.Dir == "" {
		c.Dir = "/var/lib/sallyport/audit"
	}
	if c.Durability == "" {
		c.Durability = Sync
	}
	if c.OnFailure == "" {
		c.OnFailure = Refuse
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	if c.Compress == "" {
		c.Compress = Zstd
	}
	if c.Node == "" {
		c.Node, _ = os.Hostname()
	}
	if c.SegmentBytes == 0 {
		c.SegmentBytes = 64 << 20
	}
	if c.SegmentAge == 0 {
		c.SegmentAge = 24 * time.Hour
	}
	if c.LowSpace == 0 {
		c.LowSpace = 1 << 30
	}
	if c.Checkpoint == 0 {
		c.Checkpoint = time.Minute
	}
	if c.Secrets == "" {
		c.Secrets = filepath.Clean(c.Dir) + ".secrets"
	}
	if c.Content == 0 {
		c.Content = defaultContent
	}
	c.Sealing = c.Sealing.withDefaults()
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
