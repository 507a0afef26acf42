package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
)

// checkTime bounds the one evaluation that looks at all data, when policy is loaded.
const checkTime = 30 * time.Second

// compiling is held while anything is compiled: OPA's compilers change types that they all share (as of 1.22).
var compiling sync.Mutex

// load makes a snapshot of what ships, the operator's files, supplies and the configuration's data. What it was made of is there to be kept.
func load(c Config, base Data) (*Snapshot, *material, error) {
	return loadFrom(c, func() (*material, error) { return gather(c, base) })
}

func loadFrom(c Config, gather func() (*material, error)) (s *Snapshot, m *material, err error) {
	compiling.Lock()
	defer compiling.Unlock()
	// The compiler is a large guest. Whatever an odd file does to it, the running policy stays.
	defer func() {
		if r := recover(); r != nil {
			err = Faults{{Text: fmt.Sprintf("compiling the policy: panic: %v", r)}}
		}
	}()
	if m, err = gather(); err == nil {
		s, err = build(c, m)
	}
	return s, m, err
}

// build compiles what was gathered.
func build(c Config, m *material) (*Snapshot, error) {
	if faults := m.shapeless(); len(faults) > 0 {
		return nil, m.files.place(faults).sorted() // the policies themselves would speak of what is in them
	}
	compiler, err := compile(m.modules, m.world)
	if err != nil {
		return nil, err
	}
	link, linkErr := newQuestion(compiler, m.world, linkRule, Field.ofLink)
	stanza, stanzaErr := newQuestion(compiler, m.world, stanzaRule, Field.ofStanza)
	if linkErr == nil && stanzaErr == nil { // what is folded away may not be wrong either
		folded, err := fold(compiler, m.world, linkRule, stanzaRule)
		if err != nil {
			return nil, err
		}
		link, linkErr = newQuestion(folded, m.world, linkRule, Field.ofLink)
		stanza, stanzaErr = newQuestion(folded, m.world, stanzaRule, Field.ofStanza)
	}
	if err := join(linkErr, stanzaErr, checkData(compiler, m.world), misspelt(m.data).orNil(), m.nowhere().orNil(), strays(m.modules, m.base, m.data).orNil(), misfits(m.modules).orNil()); err != nil {
		return nil, m.files.place(faultsOf(err)).sorted()
	}
	link.timeout, stanza.timeout = c.Timeout, c.Timeout
	return &Snapshot{revision: m.revision, observe: c.Mode == "observe", link: link, stanza: stanza, written: compiler, patterns: new(patterns), dated: m.world.dated(),
		memo: newMemo[Decision](c.Cache), links: newMemo[LinkDecision](c.Cache / 8)}, nil
}

// material is what a revision is made of.
type material struct {
	revision  string
	modules   map[string]*ast.Module // to be compiled: base, less what was replaced, and the operator's
	base, own map[string]*ast.Module
	data      map[string]any
	world     *world
	files     sources
	given     Data // by the configuration
}

func gather(c Config, base Data) (*material, error) {
	files, err := readSources(c.Dir)
	if err != nil {
		return nil, err
	}
	files.supply(c.Supplies)
	return assemble(files, base)
}

// assemble parses and merges what was read.
func assemble(files sources, base Data) (*material, error) {
	m, err := material{files: files, given: base}, error(nil)
	var baseErr, ownErr, dataErr error
	m.base, baseErr = parse(files.base)
	m.own, ownErr = parse(files.rego)
	m.data, dataErr = mergeData(base, files.data)
	if err := join(baseErr, ownErr, dataErr); err != nil {
		return nil, files.place(faultsOf(err)).sorted()
	}
	m.modules = compose(wanted(m.base, m.data), m.own)
	if m.world, err = newWorld(m.data); err != nil {
		return nil, err
	}
	m.revision, err = revisionOf(files, base)
	return &m, err
}

// revisionOf names what decides: rules and data, not where they lie, nor their tests. What the maker of a supply calls it stands behind.
func revisionOf(files sources, base Data) (string, error) {
	data, err := plainObject(base)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(data)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	h.Write(text)
	for _, list := range [][]source{files.base, files.rego, files.data} {
		for _, f := range list {
			fmt.Fprintf(h, "\n%q %d\n", f.name, len(f.text))
			h.Write(f.text)
		}
	}
	return strings.Join(append([]string{hex.EncodeToString(h.Sum(nil))[:12]}, files.versions...), "@"), nil
}

// checkData asks the policy what is wrong with the data.
func checkData(c *ast.Compiler, w *world) error {
	q, err := newQuestion(c, w, "data.sallyport.check.faults", func(Field) bool { return false })
	if err != nil {
		return err
	}
	q.timeout, q.lenient = checkTime, true
	answer, _, err := q.ask(context.Background(), &Input{})
	if err != nil {
		return Faults{{Text: "checking the data: " + err.Error()}}
	}
	list, err := texts(answer)
	if err != nil {
		return Faults{{Text: "checking the data: " + err.Error()}}
	}
	var faults Faults
	for _, text := range list {
		faults = append(faults, Fault{Text: text})
	}
	return faults.orNil()
}
