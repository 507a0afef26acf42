package policy

import (
	"context"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
)

// world is the data of one revision, in the form in which OPA reads it fastest: its own values, under one read transaction
// that stays open. Nothing is ever written to it.
type world struct {
	store storage.Store
	txn   storage.Transaction
	root  ast.Object
}

func newWorld(data map[string]any) (*world, error) {
	if _, taken := data["sallyport"]; taken {
		return nil, Faults{{Text: "data.sallyport is given by a data file; it belongs to the rules"}}
	}
	value, err := dataValue(data)
	if err != nil {
		return nil, err
	}
	root := value.(ast.Object)
	store := inmem.NewFromASTObject(root)
	txn, err := store.NewTransaction(context.Background())
	if err != nil {
		return nil, err
	}
	return &world{store, txn, root}, nil
}

// has tells whether a document is there, or is one that base asks for and that may be absent.
func (w *world) has(name string) bool {
	switch name {
	case "federation", "peers", "internal", "groups", "local", "gateways", "surface":
		return true
	}
	return w.root.Get(ast.StringTerm(name)) != nil
}

// dataValue is OPA's own conversion, but that it shares what is empty and has less to throw away: lists of people are long.
func dataValue(x any) (ast.Value, error) {
	switch x := x.(type) {
	case map[string]any:
		if len(x) == 0 {
			return ast.InternedEmptyObjectValue, nil
		}
		terms, pairs := make([]ast.Term, 2*len(x)), make([][2]*ast.Term, 0, len(x))
		for k, v := range x {
			value, err := dataValue(v)
			if err != nil {
				return nil, err
			}
			key, term := &terms[2*len(pairs)], &terms[2*len(pairs)+1]
			key.Value, term.Value = ast.String(k), value
			pairs = append(pairs, [2]*ast.Term{key, term})
		}
		return ast.NewObject(pairs...), nil
	case []any:
		terms := make([]*ast.Term, len(x))
		for i := range x {
			value, err := dataValue(x[i])
			if err != nil {
				return nil, err
			}
			terms[i] = ast.NewTerm(value)
		}
		return ast.NewArray(terms...), nil
	}
	return ast.InterfaceToValue(x)
}
