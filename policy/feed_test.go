package policy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is a source that says what it is told to. A test that runs a feed holds mu to look at what the feed changes.
type script struct {
	mu    sync.Mutex
	text  string
	err   error
	asked int
}

func (s *script) Fetch(ctx context.Context, _ string) ([]byte, string, error) {
	s.mu.Lock()
	s.asked++
	text, err := s.text, s.err
	s.mu.Unlock()
	if text == "hang" {
		<-ctx.Done()
		return nil, "", ctx.Err()
	}
	return []byte(text), "", err
}

func (s *script) Open(text []byte, _ *Supply) (Supply, error) {
	return Supply{Origin: "script", Files: []File{{"x.yaml", text}}}, nil
}

// A source is asked at once and then every so often; one that hangs is given up in time. What goes wrong and goes on going wrong is told
// once, and so is the age of what is in force.
func TestFeedRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &script{text: "x: 1"}
		f := &Feed{Origin: "script", Source: s, File: filepath.Join(t.TempDir(), "kept"), Every: time.Minute, Timeout: 10 * time.Second, Stale: time.Hour,
			Log: slog.New(slog.NewTextHandler(&locked{mu: &s.mu, w: &log}, nil))}
		if err := os.WriteFile(f.File, []byte("x: 0"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.First(t.Context()); err != nil || s.asked != 0 {
			t.Fatalf("what is kept is not what it starts with: %v", err)
		}
		var used []string
		bad := errors.New("it does not go with the rest")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			f.Run(ctx, func(_ context.Context, supply Supply) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				if text := string(supply.Files[0].Text); text != "bad" {
					used = append(used, text)
					return nil
				}
				return bad
			})
		}()
		s.mu.Lock() // but while time passes
		after := func(d time.Duration) FeedStatus {
			s.mu.Unlock()
			defer s.mu.Lock()
			time.Sleep(d)
			synctest.Wait()
			return f.Status()
		}
		if st := after(time.Second); s.asked != 1 || len(used) != 1 || st.Problem != "" || st.Stale {
			t.Errorf("at the start: asked %d times, %v, %+v", s.asked, used, st)
		}
		if kept, err := os.ReadFile(f.File); err != nil || string(kept) != "x: 1" {
			t.Errorf("kept is %q, %v", kept, err)
		}
		after(10 * time.Minute)
		if s.asked != 11 || len(used) != 1 || log.Len() != 0 {
			t.Errorf("asked %d times, used %v, told %s", s.asked, used, &log)
		}
		s.text = "bad"
		after(10 * time.Minute)
		s.text = "hang"
		if st := after(10 * time.Minute); st.Problem != "context deadline exceeded" || st.Stale {
			t.Errorf("after it hung: %+v", st)
		}
		if st := after(time.Hour); !st.Stale {
			t.Errorf("after an hour: %+v", st)
		}
		after(time.Hour)
		if got := log.String(); strings.Count(got, "does not go with the rest") != 1 || strings.Count(got, "deadline exceeded") != 1 || strings.Count(got, "is old") != 1 {
			t.Errorf("told:\n%s", got)
		}
		s.text = "x: 2"
		if st := after(2 * time.Minute); st.Stale || st.Problem != "" || len(used) != 2 || !strings.Contains(log.String(), "well again") {
			t.Errorf("after all that: %+v, %v", st, used)
		}
		s.mu.Unlock()
		cancel()
		<-done
	})
}

type locked struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
