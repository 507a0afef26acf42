package policy

import (
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
)

// namesDecl is sallyport.names(domain): it lists the names under which data may speak of a domain. Each policy that goes by domains asks for
// them, and in Rego that would take a fifth of an evaluation.
var namesDecl = &ast.Builtin{
	Name:        "sallyport.names",
	Description: "lists the names under which data may speak of a domain, the closest first: a.b.example, *.b.example, *.example",
	Decl:        types.NewFunction(types.Args(types.S), types.NewArray(nil, types.S)),
}

var namesFunction = &rego.Function{Name: namesDecl.Name, Decl: namesDecl.Decl}

func namesTerm(_ rego.BuiltinContext, domain *ast.Term) (*ast.Term, error) {
	name, err := text(domain.Value)
	if err != nil {
		return nil, err
	}
	terms := []*ast.Term{domain}
	for _, w := range wildcards(name) {
		terms = append(terms, ast.StringTerm(w))
	}
	return ast.ArrayTerm(terms...), nil
}

func namesCalled(c topdown.BuiltinContext, operands []*ast.Term, yield func(*ast.Term) error) error {
	names, err := namesTerm(c, operands[0])
	if err != nil {
		return err
	}
	return yield(names)
}

// longestDomain is that of RFC 7622 §3.2, in bytes. What stands in an address of the web may be longer, and has no more wildcards for it.
const longestDomain = 1023

// wildcards are those that speak for a domain: each for what is below its suffix, never for the suffix itself.
func wildcards(domain string) (names []string) {
	for at := max(0, len(domain)-longestDomain); ; {
		dot := strings.IndexByte(domain[at:], '.')
		if dot < 0 {
			return names
		}
		at += dot
		names = append(names, "*"+domain[at:])
		at++
	}
}
