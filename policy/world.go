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
	value, err := ast.InterfaceToValue(data)
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
