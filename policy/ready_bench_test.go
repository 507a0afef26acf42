package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// BenchmarkReady measures each ready-made policy by itself, switched on by the example of its page, over the shipped base with 1,000 peers:
// an evaluation with 100,000 and with 100 users that stay inside, and a decision that is remembered where it may be. cpu-ns/op is what the
// process took.
func BenchmarkReady(b *testing.B) {
	files, err := readSources("")
	if err != nil {
		b.Fatal(err)
	}
	bare := func(b *testing.B, users int, dir string) *Snapshot {
		data := large()
		kept := data["internal"].(map[string]any)["users"].(map[string]any)
		for i := users; i < 100_000; i++ {
			delete(kept, fmt.Sprintf("inside%d@corp.example", i))
		}
		return engine(b, Config{Dir: dir}, data).Snapshot()
	}
	measure := func(b *testing.B, name, dir string) {
		for _, users := range []int{100_000, 100} {
			s := bare(b, users, dir)
			in := crossing()
			in.Stanza.Class = []string{"text"}
			b.Run(fmt.Sprintf("%s/evaluated/users=%d", name, users), func(b *testing.B) {
				b.ReportAllocs()
				cpu(b, func() {
					if d, _, err := s.judge(b.Context(), in); err != nil || d.Rule == RuleEngineError {
						b.Fatal(d, err)
					}
				})
			})
			if s.Stanza(b.Context(), in); users == 100 || !s.Stanza(b.Context(), in).Cached {
				continue
			}
			b.Run(name+"/remembered", func(b *testing.B) {
				b.ReportAllocs()
				cpu(b, func() { s.Stanza(b.Context(), in) })
			})
		}
	}
	measure(b, "none", "")
	for _, f := range files.base {
		name, ready := readyFor(f.name)
		if !ready {
			continue
		}
		page, err := os.ReadFile(filepath.Join("../docs/policies", name+".md"))
		if err != nil {
			b.Fatal(err)
		}
		measure(b, name, dir(b, map[string]string{"data.yaml": yamlBlock.FindStringSubmatch(string(page))[1]}))
	}
}

// cpu does something again and again and reports the processor time that each took.
func cpu(b *testing.B, do func()) {
	before := spentCPU()
	for b.Loop() {
		do()
	}
	b.ReportMetric(float64(spentCPU()-before)/float64(b.N), "cpu-ns/op")
}

// spentCPU is the processor time that the process has taken, in nanoseconds.
func spentCPU() int64 {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
