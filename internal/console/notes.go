package console

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"sallyport/audit"
)

// Note is the body of POST /audit/note: what a command is about to do with the record.
type Note struct {
	Kind    string `json:"kind"` // audit.open, audit.search and so on; no other event can be ordered
	As      string `json:"as,omitempty"`
	Why     string `json:"why,omitempty"`
	Query   string `json:"query,omitempty"`
	Count   uint64 `json:"count,omitempty"`
	Key     string `json:"key,omitempty"`
	Segment string `json:"segment,omitempty"`
	SHA256  string `json:"sha256,omitempty"`

	// Of audit.delete: all seqs that are deleted, and the times of those that go now.
	Of    []audit.SeqRange `json:"of,omitempty"`
	Since time.Time        `json:"since,omitzero"`
	Until time.Time        `json:"until,omitzero"`
}

// Recorded is the answer: the event is in the record.
type Recorded struct {
	Seq uint64 `json:"seq"`
	ID  string `json:"id"`
}

// ErrBadNote is what Server.Record's error is for a note that nobody may order.
var ErrBadNote = errors.New("not recorded")

// note answers POST /audit/note when the event is committed, not before.
func (s *Server) note(w http.ResponseWriter, r *http.Request) {
	var n Note
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&n); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	who, err := peerOf(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	recorded, err := s.Record(r.Context(), who, n)
	switch {
	case errors.Is(err, ErrBadNote):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		answer(w, recorded)
	}
}

// Noted asks the gate to record what a command is about to do, and returns when it has.
func Noted(ctx context.Context, socket string, n Note) (Recorded, error) {
	var recorded Recorded
	return recorded, post(ctx, socket, "/audit/note", n, &recorded)
}
