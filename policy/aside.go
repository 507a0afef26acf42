package policy

import (
	"os"
	"runtime"
	"sync"
)

// widened is held while there are more processors for Go than the machine has.
var widened sync.Mutex

// aside has what is computed until its end is called run beside the traffic. Go lets a goroutine that computes have a processor for 10 ms before
// others get theirs, and the collector that follows on its heels as long: with the few processors of a small machine, traffic would stand still
// meanwhile. With more of them than the machine has, the operating system shares the time out, in smaller parts and first to who has waited.
// Each change stops the world for some microseconds.
func aside() (end func()) {
	if !widened.TryLock() {
		return func() {}
	}
	was := runtime.GOMAXPROCS(0)
	const more = 4 // BenchmarkReload has what this does
	runtime.GOMAXPROCS(more * was)
	return func() {
		defer widened.Unlock()
		if os.Getenv("GOMAXPROCS") != "" {
			runtime.GOMAXPROCS(was)
			return
		}
		runtime.SetDefaultGOMAXPROCS() // which goes on following what the machine gives
	}
}
