package dialback

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestKeysAreComparedInConstantTime reads the sources of everybody who handles keys (ABUSE 25, CVE-2021-32921).
func TestKeysAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "../proxy"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || dir == "." && len(files) == 0 {
			t.Fatalf("no sources in %s: %v", dir, err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, pos := range leaks(file) {
				t.Errorf("%s: a key is compared in a time that depends on it; Secret.Verify does better", fset.Position(pos))
			}
		}
	}
}

// The rule itself must be able to fail.
func TestLeakyComparisonsAreFound(t *testing.T) {
	t.Parallel()
	for source, leaky := range map[string]bool{
		`m.Key == s.Key(c)`:                               true,
		`want != key`:                                     true,
		`secretKey == x`:                                  true,
		`strings.EqualFold(m.Key, x)`:                     true,
		`strings.Compare(x, trim(m.Key)) == 0`:            true,
		`bytes.Equal([]byte(key), x)`:                     true,
		`slices.Equal([]byte(key), x)`:                    true,
		`reflect.DeepEqual(x, m.Key)`:                     true,
		`key == ""`:                                       false,
		`len(m.Key) > 5`:                                  false,
		`len(key) == len(x)`:                              false,
		`subtle.ConstantTimeCompare([]byte(key), x) == 1`: false,
		`monkey == donkey`:                                false,
	} {
		expr, err := parser.ParseExpr(source)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(leaks(expr)) > 0; got != leaky {
			t.Errorf("%s: leaky is %v, want %v", source, got, leaky)
		}
	}
}

// leaks finds comparisons with an operand named like a key, but for those with the empty string.
func leaks(n ast.Node) (found []token.Pos) {
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			compares := slices.Contains([]token.Token{token.EQL, token.NEQ, token.LSS, token.GTR, token.LEQ, token.GEQ}, n.Op)
			if compares && (isKey(n.X) || isKey(n.Y)) && !isEmpty(n.X) && !isEmpty(n.Y) {
				found = append(found, n.Pos())
			}
		case *ast.CallExpr:
			sel, ok := n.Fun.(*ast.SelectorExpr)
			if ok && slices.Contains([]string{"Equal", "EqualFold", "Compare", "DeepEqual", "HasPrefix", "Contains"}, sel.Sel.Name) && slices.ContainsFunc(n.Args, isKey) {
				found = append(found, n.Pos())
			}
		}
		return true
	})
	return found
}

func isKey(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "key" || strings.HasSuffix(e.Name, "Key")
	case *ast.SelectorExpr:
		return isKey(e.Sel)
	case *ast.CallExpr:
		if name, ok := e.Fun.(*ast.Ident); ok && name.Name == "len" {
			return false
		}
		if sel, ok := e.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "ConstantTimeCompare" {
			return false
		}
		return isKey(e.Fun) || slices.ContainsFunc(e.Args, isKey)
	case *ast.ParenExpr:
		return isKey(e.X)
	}
	return false
}

func isEmpty(e ast.Expr) bool {
	lit, ok := e.(*ast.BasicLit)
	return ok && lit.Value == `""`
}
