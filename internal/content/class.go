package content

import (
	"math/bits"
	"sync"
)

// Class is a set of what a stanza can be.
type Class uint32

// The classes of POLICY, in the order of their names.
const (
	Admin Class = 1 << iota
	Archive
	CallAudio
	CallControl
	CallVideo
	Disclosure
	OMEMO
	OpenPGP
	OTR
	File
	FileInband
	ForgedEnvelope
	Gateway
	Invite
	MUC
	Presence
	PubSub
	Register
	RTT
	Signal
	Subscribe
	Text
	Unknown
	classes = iota
)

var names = [classes]string{
	"admin", "archive", "call.audio", "call.control", "call.video", "disclosure", "e2ee.omemo", "e2ee.openpgp", "e2ee.otr", "file", "file.inband",
	"forged-envelope", "gateway", "invite", "muc", "presence", "pubsub", "register", "rtt", "signal", "subscribe", "text", "unknown",
}

// listed keeps the lists that were asked for: few combinations ever come. What is beyond the bound is made each time.
var listed struct {
	sync.RWMutex
	of map[Class][]string
}

const listsKept = 4096

// Names lists the classes in the set, sorted. The list is shared and must not be changed.
func (c Class) Names() []string {
	if c == 0 {
		return nil
	}
	listed.RLock()
	list, ok := listed.of[c]
	listed.RUnlock()
	if ok {
		return list
	}
	for rest := uint32(c); rest != 0; rest &= rest - 1 {
		list = append(list, names[bits.TrailingZeros32(rest)])
	}
	listed.Lock()
	defer listed.Unlock()
	if listed.of == nil {
		listed.of = map[Class][]string{}
	}
	if len(listed.of) < listsKept {
		listed.of[c] = list
	}
	return list
}

// AllClasses lists every class there is, sorted.
func AllClasses() []string { return names[:] }
