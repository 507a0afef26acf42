package policy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// failures counts the answers that policy failed to give, and tells the operator of them.
type failures struct {
	log   *slog.Logger
	count atomic.Uint64
	told  atomic.Int64 // when, in nanoseconds; 0: never
}

// tellEvery is how often failures are logged at the most. The record has each of them.
const tellEvery = time.Minute

// add counts a failure, unless it is that of a caller who went away.
func (f *failures) add(ctx context.Context, rule, revision, reason string) {
	if f == nil || ctx.Err() != nil {
		return
	}
	count, now, told := f.count.Add(1), time.Now().UnixNano(), f.told.Load()
	if told != 0 && now-told < int64(tellEvery) || !f.told.CompareAndSwap(told, now) {
		return
	}
	f.log.Error("policy gives no answer; that is a deny", "asked", rule, "revision", revision, "error", reason, "failures", count,
		"advice", "mend the rule that the error names; if it came too late, see what the policy page says about cost")
}
