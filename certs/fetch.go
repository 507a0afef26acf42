package certs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// fetchTime bounds one fetch, redirects included.
const fetchTime = 10 * time.Second

// fetch gets a document of limited size. The client is the caller's, and so are its rules about whom it may call.
func fetch(ctx context.Context, client *http.Client, url string, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("fetching %s: %w", printable(url), err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err // it names the URL
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, &statusError{url: printable(url), code: answer.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("fetching %s: %w", printable(url), err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("fetching %s: more than %d bytes", printable(url), limit)
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
