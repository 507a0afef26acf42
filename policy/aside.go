package policy

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// widened is held while there are more processors for Go than the machine has.
var widened sync.Mutex

// aside has what is computed until its end is called run beside the traffic. Go lets a goroutine that computes have a processor for 10 ms before
// others get theirs, and the collector that follows on its heels as long: with the few processors of a small machine, traffic would stand still
// meanwhile. With more of them than the machine has, the operating system shares the time out, in smaller parts and first to who has waited.
// And the collector waits: to begin and to end it stops the world, which takes as long as it takes all of these processors to have their turn.
// Each change here stops the world for some microseconds.
func aside() (end func()) {
	if !widened.TryLock() {
		return func() {}
	}
	percent := putOff()
	was := runtime.GOMAXPROCS(0)
	const more = 2 // BenchmarkReload has what this does
	runtime.GOMAXPROCS(more * was)
	return func() {
		defer widened.Unlock()
		debug.SetGCPercent(percent)
		if os.Getenv("GOMAXPROCS") != "" {
			runtime.GOMAXPROCS(was)
			return
		}
		runtime.SetDefaultGOMAXPROCS() // which goes on following what the machine gives
	}
}

// garbage is how much more than otherwise may be left lying during a load, in bytes. A limit of memory (GOMEMLIMIT) holds all the same.
const garbage = 128 << 20

// putOff lets the heap grow by garbage before it is collected, and gives the percentage that there was.
func putOff() (percent int) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}}
	metrics.Read(live)
	heap, now := max(live[0].Value.Uint64(), 4<<20), int(live[1].Value.Uint64())
	if now < 0 || now > 1<<20 { // the collector is off
		return debug.SetGCPercent(-1)
	}
	return debug.SetGCPercent(now + int(garbage*100/heap))
}
