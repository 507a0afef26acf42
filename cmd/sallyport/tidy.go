package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	tidyEvery = 15 * time.Second
	// tidyRounds is how often a gate that has become quiet is tidied: each collection halves the stacks of goroutines that wait, and
	// those that brought a link up need 4 KiB of 32.
	tidyRounds = 4
	// quietShare is the part of the heap in use that a quiet gate allocates between two looks at the most.
	quietShare = 16
	// heapRoom is what may be allocated between two collections, in bytes: the runtime looks at what is in use alone, and would collect
	// all day in a gate that holds next to nothing and lets many links come up.
	heapRoom = 64 << 20
	// mostRoom bounds that to a multiple of what is in use, in per cent; leastRoom is the runtime's own.
	mostRoom, leastRoom = 400, 100
)

// The runtime's figures.
const (
	heapAllocated = "/gc/heap/allocs:bytes"
	heapInUse     = "/memory/classes/heap/objects:bytes"
	heapLive      = "/gc/heap/live:bytes"
)

// tidy gives memory back to the system when a busy time is over. The runtime collects by how much is allocated, and so leaves what a
// thousand links needed to come up where it is, for hours, in a gate that only holds them.
type tidy struct {
	allocated uint64 // bytes since the start, at the last look
	rounds    int    // since the gate was busy
	room      int    // per cent, as set
}

// due says whether to give back now, of a gate that has allocated so much since its start and has so much in use.
func (t *tidy) due(allocated, inUse uint64) bool {
	quiet := allocated-t.allocated < inUse/quietShare
	t.allocated = allocated
	if !quiet {
		t.rounds = 0
		return false
	}
	t.rounds++
	return t.rounds <= tidyRounds
}

// percent is how much may be allocated until the next collection, in per cent of what the last one left.
func percent(live uint64) int {
	return int(min(max(heapRoom*100/max(live, 1)/50*50, leastRoom), mostRoom))
}

// pace tells the runtime when to collect, unless the operator has.
func (t *tidy) pace(live uint64) {
	if room := percent(live); room != t.room && os.Getenv("GOGC") == "" {
		t.room = room
		debug.SetGCPercent(room)
	}
}

func (t *tidy) run(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	figures := []metrics.Sample{{Name: heapAllocated}, {Name: heapInUse}, {Name: heapLive}}
	for {
		metrics.Read(figures)
		t.pace(figures[2].Value.Uint64())
		if t.due(figures[0].Value.Uint64(), figures[1].Value.Uint64()) {
			debug.FreeOSMemory()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
