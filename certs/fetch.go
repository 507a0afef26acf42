package certs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// fetchTime bounds one fetch, redirects included.
const fetchTime = 10 * time.Second

// fetch gets a document of limited size. The client is the caller's, and so are its rules about whom it may call.
func fetch(ctx context.Context, client *http.Client, address string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", printable(address), err)
	}
	answer, err := client.Do(request)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			at.URL = printable(at.URL) // a redirect or a document of a stranger's may have made it endless
		}
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, &statusError{url: printable(address), code: answer.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetching %s: %w", printable(address), err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("fetching %s: more than %d bytes", printable(address), limit)
	}
	return body, nil
}

// statusError is an HTTP answer other than 200.
type statusError struct {
	url  string
	code int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("fetching %s: HTTP status %d %s", e.url, e.code, http.StatusText(e.code))
}

// missing reports whether the server said that there is no such document, which is an answer, unlike silence.
func missing(err error) bool {
	var status *statusError
	return errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusGone)
}

var errShutdown = errors.New("the gate is shutting down")

// fetches owns the goroutines that fetch beside the path. The zero fetches is ready.
type fetches struct {
	mu     sync.Mutex
	ctx    context.Context // of all of them; nil before the first
	cut    context.CancelCauseFunc
	closed bool
	under  sync.WaitGroup
}

// start runs one beside the caller, unless there is to be none any more.
func (f *fetches) start(fetch func(context.Context)) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	if f.ctx == nil {
		f.ctx, f.cut = context.WithCancelCause(context.Background())
	}
	ctx := f.ctx
	f.under.Go(func() { fetch(ctx) })
	return true
}

// shutdown waits for what is under way, until ctx ends; then it is cut off.
func (f *fetches) shutdown(ctx context.Context) {
	f.mu.Lock()
	f.closed = true
	cut := f.cut
	f.mu.Unlock()
	if cut == nil {
		return
	}
	defer context.AfterFunc(ctx, func() { cut(errShutdown) })()
	f.under.Wait()
	cut(nil)
}
