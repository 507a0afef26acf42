package lab

import (
	"os"
	"regexp"
	"slices"
	"sync"
)

// logs is the list of files whose tails explain a failure.
type logs struct {
	mu    sync.Mutex
	files []logFile
}

type logFile struct {
	name, path string
	tail       int // bytes to show
}

// tailBytes is how much of a log a failed test shows.
const tailBytes = 4000

func (l *Lab) watch(name, path string, tail int) {
	l.seen.mu.Lock()
	defer l.seen.mu.Unlock()
	f := logFile{name, path, tail}
	if !slices.Contains(l.seen.files, f) {
		l.seen.files = append(l.seen.files, f)
	}
}

// showLogs writes the tail of each log that is not empty into the test's log.
func (l *Lab) showLogs() {
	l.seen.mu.Lock()
	defer l.seen.mu.Unlock()
	for _, f := range l.seen.files {
		text := startUp.ReplaceAllString(readLog(f.path), "")
		if len(text) > f.tail {
			text = "…" + text[len(text)-f.tail:]
		}
		if text != "" {
			l.t.Logf("─── %s:\n%s", f.name, text)
		}
	}
}

// startUp matches what BIND and jabberd2 say at length at each start, which explains nothing.
var startUp = regexp.MustCompile("(?m)^.*( compiled (with|by) | linked to | built with |' added to chain '|automatic empty zone|named: -----).*\n")

func readLog(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
