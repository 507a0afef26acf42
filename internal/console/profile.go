package console

import (
	"cmp"
	"fmt"
	"net/http"
	"runtime"
	"runtime/pprof"
	"strconv"
	"time"
)

// longestProfile bounds the seconds of a CPU profile: it costs the gate a little all that time.
const longestProfile = 120

// profile answers GET /profile/{name} in the format of `go tool pprof`: cpu, for ?seconds=10, or one of the runtime's own, of
// which heap and goroutine are of use; ?debug=1 gives those as text, heap with the runtime's memory statistics. A profile holds names of functions and counts, and nothing that was carried.
func profile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	w.Header().Set("Content-Type", "application/octet-stream")
	if name == "cpu" {
		cpuProfile(w, r)
		return
	}
	p := pprof.Lookup(name)
	if p == nil {
		http.Error(w, "no profile "+strconv.Quote(name)+"; there are cpu, heap, allocs, goroutine, block, mutex and threadcreate", http.StatusNotFound)
		return
	}
	if name == "heap" {
		runtime.GC() // what is live is asked, not what waits to be collected
	}
	debug, err := strconv.Atoi(cmp.Or(r.FormValue("debug"), "0"))
	if err != nil || debug < 0 || debug > 1 {
		http.Error(w, "debug must be 0, or 1 for text", http.StatusBadRequest)
		return
	}
	// A client that went away while we wrote is no fault of ours.
	_ = p.WriteTo(w, debug)
}

func cpuProfile(w http.ResponseWriter, r *http.Request) {
	seconds := 10.0
	if s := r.FormValue("seconds"); s != "" {
		var err error
		if seconds, err = strconv.ParseFloat(s, 64); err != nil || !(seconds > 0 && seconds <= longestProfile) {
			http.Error(w, fmt.Sprintf("seconds=%q: must be a number up to %d", s, longestProfile), http.StatusBadRequest)
			return
		}
	}
	d := time.Duration(seconds * float64(time.Second))
	// A connection that cannot take it writes within the time of any answer, or fails.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d + 10*time.Second))
	if err := pprof.StartCPUProfile(w); err != nil {
		http.Error(w, err.Error(), http.StatusConflict) // another one is being taken
		return
	}
	defer pprof.StopCPUProfile()
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}
