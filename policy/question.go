package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/metrics"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
)

// question is one of the two entry points, compiled: what is asked, and what of the input the answer can depend on.
type question struct {
	compiler *ast.Compiler
	world    *world
	query    ast.Body
	reads    []Field
	set      FieldSet // the same
	timeout  time.Duration
	at       time.Time // that the clock shows; zero: the present
	shape    *branch
	lenient  bool // errors of built-in functions are undefined, as the checks of data want it
}

const answerVar = ast.Var("answer")

// newQuestion prepares the query for a rule. has tells which attributes the question knows; a rule that names another is
// refused.
func newQuestion(c *ast.Compiler, w *world, rule string, has func(Field) bool) (*question, error) {
	if len(c.GetRulesWithPrefix(ast.MustParseRef(rule))) == 0 {
		return nil, Faults{{Text: "nothing defines " + rule}}
	}
	query, err := c.QueryCompiler().Compile(ast.MustParseBody(rule + " = " + string(answerVar)))
	if err != nil {
		return nil, faultsOf(err)
	}
	found, err := readingsOf(c, query)
	if err != nil {
		return nil, err
	}
	var faults Faults
	for f, at := range found.at {
		if !has(f) {
			faults = append(faults, faultAt(at, "%s is not known when %s is asked for", f, rule))
		}
	}
	q := &question{compiler: c, world: w, query: query, reads: found.among(has)}
	q.shape, q.set = shapeOf(q.reads), setOf(q.reads)
	return q, faults.orNil()
}

// Errors of ask that are not the policy's own.
var (
	errUndefined = errors.New("the answer is undefined")
	errLate      = errors.New("the answer came too late")
)

// ask evaluates the question. clock tells that the time was read on the way to the answer.
func (q *question) ask(ctx context.Context, in *Input) (answer ast.Value, clock bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	cancel := topdown.NewCancel()
	timer := time.AfterFunc(q.timeout, cancel.Cancel)
	defer timer.Stop()
	defer context.AfterFunc(ctx, cancel.Cancel)()
	watched := builtins.NDBCache{}
	err = topdown.NewQuery(q.query).
		WithCompiler(q.compiler).WithStore(q.world.store).WithTransaction(q.world.txn).
		WithInput(ast.NewTerm(q.shape.object(in))).WithBuiltins(ourBuiltins).WithTime(q.at).
		WithCancel(cancel).WithStrictBuiltinErrors(!q.lenient).WithNDBuiltinCache(watched).WithMetrics(metrics.NoOp()).
		Iter(ctx, func(r topdown.QueryResult) error {
			answer = r[answerVar].Value
			return nil
		})
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case cancel.Cancelled():
		err = fmt.Errorf("%w: after %v", errLate, q.timeout)
	case err == nil && answer == nil:
		err = errUndefined
	}
	return answer, len(watched) > 0, err
}

// branch is an object of the input, or a leaf of it. An evaluation gets the attributes that the answer can depend on and
// no others, so that an answer cannot depend on what it is not remembered under.
type branch struct {
	key    *ast.Term
	field  Field
	leaf   bool
	inside []*branch
}

func shapeOf(fields []Field) *branch {
	root := &branch{}
	for _, f := range fields {
		at := root
		for _, name := range strings.Split(f.path(), ".") {
			at = at.child(name)
		}
		at.leaf, at.field = true, f
	}
	return root
}

func (b *branch) child(name string) *branch {
	for _, c := range b.inside {
		if string(c.key.Value.(ast.String)) == name {
			return c
		}
	}
	c := &branch{key: ast.StringTerm(name)}
	b.inside = append(b.inside, c)
	return c
}

func (b *branch) object(in *Input) ast.Value {
	pairs := make([][2]*ast.Term, 0, len(b.inside)+1)
	for _, c := range b.inside {
		value := c.value(in)
		pairs = append(pairs, ast.Item(c.key, ast.NewTerm(value)))
	}
	if b.key == nil {
		pairs = append(pairs, ast.Item(ast.InternedTerm("v"), ast.InternedTerm(1)))
	}
	return ast.NewObject(pairs...)
}

func (b *branch) value(in *Input) ast.Value {
	if !b.leaf {
		return b.object(in)
	}
	if b.field == FieldSize {
		return ast.InternedTerm(in.Stanza.Size).Value
	}
	if truth, ok := in.truth(b.field); ok {
		return ast.InternedTerm(truth).Value
	}
	values, ok := in.list(b.field)
	if !ok {
		return ast.String(in.text(b.field))
	}
	terms := make([]*ast.Term, len(values))
	for i, v := range values {
		terms[i] = ast.StringTerm(v)
	}
	return ast.NewArray(terms...)
}
