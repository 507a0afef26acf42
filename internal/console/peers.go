package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"sallyport/internal/jid"
	"sallyport/internal/ratchet"
)

// PeerOrder is the body of POST /peers/forgive, /peers/pin and /peers/unpin.
type PeerOrder struct {
	Domain string   `json:"domain"`
	Pins   []string `json:"pins,omitempty"` // of pin; none: the keys seen so far
}

// Peers gives the admin socket the memory of remote domains: to be read, and changed by the gate's own user.
type Peers struct {
	Book    *ratchet.Book
	Changed func(order string, o PeerOrder) // called after each change that is in force, written or not
}

// handle registers the questions and orders about peers.
func (p *Peers) handle(mux *http.ServeMux) {
	mux.HandleFunc("GET /peers", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.Book.List()) })
	for order, do := range map[string]func(PeerOrder) error{
		"forgive": func(o PeerOrder) error { return p.Book.Forgive(o.Domain) },
		"pin":     func(o PeerOrder) error { return p.Book.Pin(o.Domain, o.Pins) },
		"unpin":   func(o PeerOrder) error { return p.Book.Unpin(o.Domain) },
	} {
		mux.HandleFunc("POST /peers/"+order, func(w http.ResponseWriter, r *http.Request) {
			var o PeerOrder
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&o); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			domain, err := jid.ParseDomain(o.Domain)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			o.Domain = domain.String() // as the book has it, however it was spelled
			err = do(o)
			if err == nil || errors.Is(err, ratchet.ErrUnwritten) {
				p.Changed(order, o)
			}
			if err != nil {
				http.Error(w, err.Error(), http.StatusConflict)
				return
			}
			answer(w, struct{}{})
		})
	}
}

// Order posts an order to the admin socket. What the gate refuses is the error.
func Order(ctx context.Context, socket, path string, order any) error {
	return post(ctx, socket, path, order, new(struct{}))
}

// post sends v as JSON, and decodes the answer into got.
func post(ctx context.Context, socket, path string, v, got any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gate"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := dial(socket).Do(req)
	if err != nil {
		return unanswered(socket, err)
	}
	defer resp.Body.Close()
	return read(resp, got)
}

// read decodes an answer; one that is a refusal is the error.
func read(resp *http.Response, v any) error {
	if resp.StatusCode == http.StatusOK {
		return json.NewDecoder(resp.Body).Decode(v)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return errors.Join(errors.New(cmp.Or(strings.TrimSpace(string(text)), "the gate answered "+resp.Status)), err)
}
