package proxy

import (
	"crypto/sha256"
	"log/slog"
	"net/netip"
	"sync"

	"sallyport/audit"
	"sallyport/dialback"
	"sallyport/internal/jid"
	"sallyport/internal/stanza"
)

// answerVerify answers, as authoritative server, whether a key is one of ours. It needs no state outside, and inside only the
// ids of our own streams, so it holds in every state of every stream ([B17], D4, D12, D13).
func (p *Proxy) answerVerify(d Door, origin netip.Addr, m dialback.Message) dialback.Message {
	from, errFrom := jid.ParseDomain(m.From)
	to, errTo := jid.ParseDomain(m.To)
	settings := p.now()
	ours := settings.hosts(to)
	if d == Inside {
		ours = !settings.claims(to) && settings.hosts(from)
	}
	if errFrom != nil || errTo != nil || !ours {
		return dialback.ErrorReply(m, string(stanza.ItemNotFound))
	}
	valid := p.secret(d).Verify(dialback.Challenge{Receiving: from.String(), Originating: to.String(), StreamID: m.ID}, m.Key)
	if d == Inside {
		valid = valid && p.innerIDs.has(m.ID)
	}
	p.instruments.verified(d, valid)
	if !valid {
		p.foreign(d, origin, m)
		return m.Reply(dialback.Invalid)
	}
	return m.Reply(dialback.Valid)
}

// foreign tells of a key that was shown in our name and is not ours: an impostor's, or a backend's own that goes past us (D18). One that a
// backend has shown to us is an alarm: nobody else can have it but from the backend.
func (p *Proxy) foreign(d Door, origin netip.Addr, m dialback.Message) {
	e := audit.Event{Kind: audit.DialbackInvalid, From: m.From, To: m.To, Error: "asked as authoritative server: not a key of ours"}
	level, advice := slog.LevelWarn, "an impostor, or a server of "+m.To+" that calls past this gate: does its resolver point at inside.dns?"
	if d == Outside && p.shown.has(m.Key) {
		e.Error = "a key that a backend has shown inside was shown outside"
		level, advice = slog.LevelError, "somebody reads what the backend of "+m.To+" sends, or a server outside gets its keys: change its dialback secret"
	} else if d == Outside && !p.noise.loud(p, origin) {
		return
	}
	p.Record.Note(e)
	p.Log.Log(p.ctx, level, "a key that we did not issue was shown in our name", "door", d.String(), "shown_to", m.From, "shown_by", m.To, "error", e.Error, "advice", advice)
}

// shownKeys remembers the keys that backends have shown lately, by their hashes.
type shownKeys struct {
	mu    sync.Mutex
	keys  map[[sha256.Size]byte]struct{}
	order [1024][sha256.Size]byte
	next  int
}

func (k *shownKeys) add(key string) {
	sum := sha256.Sum256([]byte(key))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = make(map[[sha256.Size]byte]struct{})
	}
	if _, ok := k.keys[sum]; ok {
		return
	}
	delete(k.keys, k.order[k.next])
	k.keys[sum], k.order[k.next] = struct{}{}, sum
	k.next = (k.next + 1) % len(k.order)
}

func (k *shownKeys) has(key string) bool {
	sum := sha256.Sum256([]byte(key))
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.keys[sum]
	return ok
}

// innerIDs are the ids that backends gave to our inner streams while those live: a key over any other id is an old one (D13).
type innerIDs struct {
	mu  sync.Mutex
	ids map[string]int
}

func (i *innerIDs) add(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ids == nil {
		i.ids = make(map[string]int)
	}
	i.ids[id]++
}

func (i *innerIDs) remove(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ids[id]--; i.ids[id] <= 0 {
		delete(i.ids, id)
	}
}

func (i *innerIDs) has(id string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.ids[id] > 0
}
