package main

import (
	"context"
	"runtime/metrics"
	"testing"
)

func TestTidyWhenBusyTimesAreOver(t *testing.T) {
	t.Parallel()
	const inUse = 64 << 20
	var allocated uint64
	var y tidy
	for i, step := range []struct {
		more uint64 // allocated since the last look
		want bool
	}{
		{1 << 30, false}, // links come up
		{1 << 20, true}, {0, true}, {3 << 20, true}, {0, true},
		{0, false}, {3 << 20, false}, // nothing is left to give
		{4 << 20, false}, // busy again
		{0, true}, {5 << 20, false}, {0, true}, {0, true}, {0, true}, {0, true}, {0, false},
	} {
		allocated += step.more
		if got := y.due(allocated, inUse); got != step.want {
			t.Errorf("look %d, %d bytes more: gives back %v, want %v", i, step.more, got, step.want)
		}
	}
}

func TestTidyReadsItsFigures(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := new(tidy).run(ctx); err != nil {
		t.Error(err)
	}
	known := map[string]bool{}
	for _, d := range metrics.All() {
		known[d.Name] = d.Kind == metrics.KindUint64
	}
	for _, name := range []string{heapAllocated, heapInUse, heapLive} {
		if !known[name] {
			t.Errorf("the runtime has no %s", name)
		}
	}
}

func TestPercentOfRoom(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 400, 4 << 20: 400, 16 << 20: 400, 20 << 20: 300, 32 << 20: 200, 64 << 20: 100, 1 << 30: 100} {
		if got := percent(live); got != want {
			t.Errorf("%d bytes in use: %d %%, want %d", live, got, want)
		}
	}
}
