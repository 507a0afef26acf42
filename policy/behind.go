package policy

import (
	"regexp"
	"slices"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"

	"sallyport/internal/jid"
)

// behindDecl is sallyport.behind(address): it lists the addresses that stand in the localpart of an address, as gateways write them, in
// canonical form. Rego has no means to bring them into it.
var behindDecl = &ast.Builtin{
	Name:        "sallyport.behind",
	Description: "lists the addresses that a gateway's name for somebody has in its localpart: romeo%msn.example@gateway.example, romeo\\40msn.example@gateway.example",
	Decl:        types.NewFunction(types.Args(types.S), types.NewArray(nil, types.S)),
}

var behindFunction = &rego.Function{Name: behindDecl.Name, Decl: behindDecl.Decl}

func behindTerm(_ rego.BuiltinContext, address *ast.Term) (*ast.Term, error) {
	whole, err := text(address.Value)
	if err != nil {
		return nil, err
	}
	var terms []*ast.Term
	for _, found := range behind(whole) {
		terms = append(terms, ast.StringTerm(found))
	}
	return ast.ArrayTerm(terms...), nil
}

func behindCalled(c topdown.BuiltinContext, operands []*ast.Term, yield func(*ast.Term) error) error {
	found, err := behindTerm(c, operands[0])
	if err != nil {
		return err
	}
	return yield(found)
}

// at is what stands for the @ of an address in a localpart: a % (XEP-0100), or the @ that XEP-0106 escapes, once more for each gateway that
// the address has passed.
var at = regexp.MustCompile(`%|\\(?:5c)*40`)

// escapedAgain is an escape of XEP-0106 in a name that was escaped as a whole.
var escapedAgain = regexp.MustCompile(`\\(?:5c)+([0-9a-f]{2})`)

// behind lists what a localpart can name. Where there are several gateways one behind the other, each may read it at its own sign.
func behind(address string) (found []string) {
	local, _, ok := cutLast(address, '@')
	if !ok {
		return nil
	}
	signs := at.FindAllStringIndex(local, -1)
	for i, sign := range signs {
		begin, end := 0, len(local)
		if i > 0 {
			begin = signs[i-1][1]
		}
		if i+1 < len(signs) {
			end = signs[i+1][0]
		}
		name, domain := local[begin:sign[0]], local[sign[1]:end]
		for _, spelled := range []string{name, escapedAgain.ReplaceAllString(name, `\$1`)} {
			if j, err := jid.Parse(spelled + "@" + domain); err == nil && !slices.Contains(found, j.Bare().String()) {
				found = append(found, j.Bare().String())
			}
		}
		if name == "" { // nobody in particular
			if d, err := jid.ParseDomain(domain); err == nil {
				found = append(found, d.String())
			}
		}
	}
	return found
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == sep {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}
