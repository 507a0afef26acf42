package policy

import (
	"strings"
	"unicode"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/tester"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/types"
)

// numbersDecl is sallyport.numbers(kind, text): it lists the numbers of cards, or the IBANs, that stand in a
// text, as they stand there. In Rego, trying each place and length would take a second for 10 kB of digits.
var numbersDecl = &ast.Builtin{
	Name:        "sallyport.numbers",
	Description: "lists the numbers of a kind, card or iban, that stand in a text",
	Decl:        types.NewFunction(types.Args(types.S, types.S), types.NewArray(nil, types.S)),
}

// ourBuiltins are the built-in functions that are ours, and what they do. It is never changed.
var ourBuiltins = map[string]*topdown.Builtin{numbersDecl.Name: {Decl: numbersDecl, Func: numbersCalled}, behindDecl.Name: {Decl: behindDecl, Func: behindCalled},
	namesDecl.Name: {Decl: namesDecl, Func: namesCalled}}

func numbersCalled(_ topdown.BuiltinContext, operands []*ast.Term, yield func(*ast.Term) error) error {
	kind, err := text(operands[0].Value)
	if err != nil {
		return err
	}
	in, err := text(operands[1].Value)
	if err != nil {
		return err
	}
	return yield(numbersTerm(kind, in))
}

// builtinsForTests are the same for OPA's runner of tests.
func builtinsForTests() []*tester.Builtin {
	f := func(_ rego.BuiltinContext, kind, in *ast.Term) (*ast.Term, error) {
		k, err := text(kind.Value)
		if err != nil {
			return nil, err
		}
		t, err := text(in.Value)
		return numbersTerm(k, t), err
	}
	return []*tester.Builtin{{Decl: numbersDecl, Func: rego.Function2(&rego.Function{Name: numbersDecl.Name, Decl: numbersDecl.Decl}, f)},
		{Decl: behindDecl, Func: rego.Function1(behindFunction, behindTerm)}, {Decl: namesDecl, Func: rego.Function1(namesFunction, namesTerm)}}
}

func numbersTerm(kind, in string) *ast.Term {
	var terms []*ast.Term
	for _, found := range numbersIn(kind, in) {
		terms = append(terms, ast.StringTerm(found))
	}
	return ast.ArrayTerm(terms...)
}

// figure is a digit or letter of a text, and where it stands.
type figure struct {
	value    int // 0 to 35, as ISO 13616 counts
	from, to int
}

// numbersIn lists what is found. Of those that overlap nobody can say which was meant: what they cover is found whole, and counts as often as
// numbers stand in it one behind the other.
func numbersIn(kind, in string) (found []string) {
	genuine := cardAt
	if kind == "iban" {
		genuine = ibanAt
	}
	for _, run := range runsOf(in, kind == "iban") {
		begin, end, first := -1, 0, 0 // of what is covered; where the first number in it ends
		done := func(end int) {
			if begin >= 0 {
				found = append(found, in[run[begin].from:run[end-1].to])
			}
		}
		for i := range run {
			n := genuine(run, i)
			switch {
			case n == 0:
			case begin < 0 || i >= first:
				done(min(end, i))
				begin, end, first = i, max(end, i+n), i+n
			default:
				end = max(end, i+n)
			}
		}
		done(end)
	}
	return found
}

// gap is how many signs may stand between two figures of one number.
const gap = 3

// runsOf cuts a text into runs of figures with no more than a few separators between two of them.
func runsOf(in string, letters bool) (runs [][]figure) {
	var run []figure
	gaps := 0
	for i, r := range in {
		value := valueOf(r)
		switch {
		case value >= 0 && (letters || value < 10):
			run, gaps = append(run, figure{value, i, i + len(string(r))}), 0
			continue
		case separates(r) && gaps < gap:
			gaps++
			continue
		}
		runs, run, gaps = appendRun(runs, run), nil, 0
	}
	return appendRun(runs, run)
}

// shortest and longest are how many digits a card's number has. No IBAN is shorter.
const shortest, longest = 13, 19

func appendRun(runs [][]figure, run []figure) [][]figure {
	if len(run) < shortest {
		return runs
	}
	return append(runs, run)
}

func separates(r rune) bool {
	return unicode.IsSpace(r) && r != '\n' || strings.ContainsRune(".-_/|,'\u2010\u2013\u2014\u00b7", r)
}

// valueOf is what a digit of any script, or a letter of ours, stands for; -1 for others.
func valueOf(r rune) int {
	switch {
	case '0' <= r && r <= '9':
		return int(r - '0')
	case 'a' <= r && r <= 'z':
		return int(r-'a') + 10
	case 'A' <= r && r <= 'Z':
		return int(r-'A') + 10
	case r < unicode.MaxASCII || !unicode.IsDigit(r):
		return -1
	}
	n := 0 // the digits of a script stand one behind the other, in tens
	for unicode.IsDigit(r - rune(n) - 1) {
		n++
	}
	return n % 10
}

// cardAt is how many figures from i on are the number of a card; 0 for none. Digits that stand alone need the check digit of ISO/IEC 7812-1.
// Among others, where one window in ten has it by chance, they have to begin as cards of their length do.
func cardAt(run []figure, i int) int {
	if i == 0 && len(run) <= longest && luhn(run) {
		return len(run)
	}
	for n := longest; n >= shortest; n-- {
		if i+n <= len(run) && issued(run[i:i+n]) && luhn(run[i:i+n]) {
			return n
		}
	}
	return 0
}

// issued tells whether a number has the first digits and the length that issuers give.
func issued(number []figure) bool {
	n, two := len(number), number[0].value*10+number[1].value
	switch {
	case two/10 == 4:
		return n == 13 || n == 16 || n == 19
	case 51 <= two && two <= 55, 22 <= two && two <= 27:
		return n == 16
	case two == 34, two == 37:
		return n == 15
	case two == 30, two == 36, two == 38, two == 39:
		return n == 14 || n == 16 || n == 19
	case two == 35, two == 50, 56 <= two && two <= 69, two == 81:
		return n >= 16
	}
	return false
}

// luhn: every second digit from the right is doubled, digits are added, and the sum ends in 0.
func luhn(number []figure) bool {
	sum := 0
	for i, f := range number {
		v := f.value
		if (len(number)-i)%2 == 0 {
			v *= 2
		}
		sum += v/10 + v%10
	}
	return sum%10 == 0
}

// ibanAt is how many figures from i on are an IBAN: its country says how long it is. The first four go to the end, letters become numbers,
// and the rest of a division by 97 is 1 (ISO 13616).
func ibanAt(run []figure, i int) int {
	if len(run)-i < 4 || run[i].value < 10 || run[i+1].value < 10 {
		return 0
	}
	n := ibanLengths[string([]byte{byte('A' + run[i].value - 10), byte('A' + run[i+1].value - 10)})]
	if n == 0 || i+n > len(run) || run[i+2].value > 9 || run[i+3].value > 9 {
		return 0
	}
	rest := 0
	for k := range n {
		v := run[i+(k+4)%n].value
		if v > 9 {
			rest *= 10
		}
		rest = (rest*10 + v) % 97
	}
	if rest != 1 {
		return 0
	}
	return n
}

// ibanLengths are those of SWIFT's registry of IBANs.
var ibanLengths = map[string]int{
	"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28,
	"CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
	"GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
	"LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
	"NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24,
	"SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}
