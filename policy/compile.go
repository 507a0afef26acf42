package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/storage"
)

// capabilities are OPA's built-in functions without those whose answer does not follow from their arguments: the network,
// the environment, chance, and verifications that look at the clock by themselves. time.now_ns stays, and is watched.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.AllowNet = []string{}
	c.Builtins = append(slices.DeleteFunc(slices.Clone(c.Builtins), func(b *ast.Builtin) bool { return refused(b) }), numbersDecl, behindDecl, namesDecl)
	return c
}

func refused(b *ast.Builtin) bool {
	switch b.Name {
	case ast.NowNanos.Name:
		return false
	case "io.jwt.decode_verify", "crypto.x509.parse_and_verify_certificates", "crypto.x509.parse_and_verify_certificates_with_options",
		"providers.aws.sign_req":
		return true
	}
	return b.Nondeterministic
}

// newCompiler makes a compiler that holds every module to the schema of input: reading an attribute that does not exist
// is an error with a line, not an undefined that some `not` would take for a yes.
func newCompiler() (*ast.Compiler, error) {
	schema, err := inputSchema()
	if err != nil {
		return nil, err
	}
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, schema)
	return ast.NewCompiler().WithSchemas(schemas).WithCapabilities(capabilities()).WithStrict(true).SetErrorLimit(0), nil
}

func inputSchema() (schema any, err error) {
	text, err := shipped.ReadFile("schema/input.json")
	if err == nil {
		err = json.Unmarshal(text, &schema)
	}
	return schema, err
}

// parse parses Rego v1 in which `not f(x.y)` also holds where x.y is undefined, as with `import future.keywords.not`. Without
// that, a denial that negates something about a document would fall silent where the document has a gap.
func parse(files []source) (map[string]*ast.Module, error) {
	options := ast.ParserOptions{Capabilities: capabilities(), RegoVersion: ast.RegoV1, FutureKeywords: []string{"not"}}
	modules := make(map[string]*ast.Module, len(files))
	var faults []error
	for _, f := range files {
		m, err := ast.ParseModuleWithOpts(f.file, string(f.text), options)
		switch {
		case len(bytes.TrimSpace(f.text)) == 0:
			faults = append(faults, Faults{{File: f.file, Text: "is empty; begin it with a package, or take it away"}})
		case err != nil:
			faults = append(faults, faultsOf(err))
		case m == nil:
			faults = append(faults, Faults{{File: f.file, Text: "is empty"}})
		default:
			modules[f.file] = m
		}
	}
	return modules, join(faults...)
}

// compose puts the operator's modules beside base's, or in their place: whoever defines again a rule that base defines as
// a single value (decision, require, entry, …) takes over that package whole. Members of base's sets are added.
func compose(base, own map[string]*ast.Module) map[string]*ast.Module {
	all := make(map[string]*ast.Module, len(base)+len(own))
	for file, b := range base {
		if !replaced(b, own) {
			all[file] = b
		}
	}
	for file, m := range own {
		all[file] = m
	}
	return all
}

func replaced(base *ast.Module, own map[string]*ast.Module) bool {
	single := map[string]bool{}
	for _, r := range base.Rules {
		if r.Head.RuleKind() == ast.SingleValue {
			single[r.Head.Ref()[0].String()] = true
		}
	}
	for _, m := range own {
		if !m.Package.Path.Equal(base.Package.Path) {
			continue
		}
		for _, r := range m.Rules {
			if single[r.Head.Ref()[0].String()] {
				return true
			}
		}
	}
	return false
}

// compile compiles the modules over the data. On top of OPA's own checks, a module may not name what is not there: under
// data.sallyport that would be a rule that a replaced package no longer has, elsewhere a document that nobody gives, and
// either way an undefined where the author expected an answer.
func compile(modules map[string]*ast.Module, w *world) (*ast.Compiler, error) {
	c, err := newCompiler()
	if err != nil {
		return nil, err
	}
	c.WithPathConflictsCheck(storage.NonEmpty(context.Background(), w.store, w.txn))
	if c.Compile(modules); c.Failed() {
		return nil, faultsOf(c.Errors)
	}
	schema, err := inputSchema()
	if err != nil {
		return nil, err
	}
	faults := unknownAttributes(c, schema)
	for _, m := range c.Modules {
		ast.WalkRefs(m, func(r ast.Ref) bool {
			if f, missing := unresolved(c, w, r); missing {
				faults = append(faults, f)
			}
			return false
		})
	}
	return c, faults.orNil()
}

func unresolved(c *ast.Compiler, w *world, r ast.Ref) (Fault, bool) {
	path := constants(r)
	if !r[0].Equal(ast.DefaultRootDocument) || len(path) == 0 {
		return Fault{}, false
	}
	if len(c.GetRulesDynamicWithOpts(r, ast.RulesOptions{IncludeHiddenModules: true})) > 0 || w.has(path[0]) {
		return Fault{}, false
	}
	if len(path) == 2 && path[1] == "ready" && path[0] == "sallyport" && len(r) > 3 {
		return Fault{}, false // whichever are loaded
	}
	if path[0] == "sallyport" {
		return faultAt(r[0].Location, "nothing defines data.%s", strings.Join(path, ".")), true
	}
	return faultAt(r[0].Location, "no document gives data.%s; give an empty one if that is meant", path[0]), true
}
