package policy

import (
	"slices"
	"testing"
)

// XEP-0100, XEP-0106: who stands in the name of somebody behind a gateway, in whatever spelling.
func TestBehind(t *testing.T) {
	t.Parallel()
	for address, want := range map[string][]string{
		"ceo@corp.example":                               nil,
		"gateway.example":                                nil,
		"%@gateway.example":                              nil,
		"ceo%corp.example@gateway.example":               {"ceo@corp.example"},
		`ceo\40corp.example@gateway.example`:             {"ceo@corp.example"},
		`ceo\5c40corp.example@gateway.example`:           {"ceo@corp.example"},
		"ceo%corp.example.@gateway.example":              {"ceo@corp.example"},
		"ceo%xn--mller-kva.example@gateway.example":      {"ceo@müller.example"},
		"#board%irc.corp.example@gateway.example":        {"#board@irc.corp.example"},
		`d\27artagnan\40corp.example@gateway.example`:    {`d\27artagnan@corp.example`},
		`d\5c27artagnan\40corp.example@gateway.example`:  {`d\5c27artagnan@corp.example`, `d\27artagnan@corp.example`},
		"ceo%corp.example%other.example@gateway.example": {"ceo@corp.example", "corp.example@other.example"},
		`x\40y%corp.example@gateway.example`:             {"x@y", "y@corp.example"},
		`ceo\40corp.example\2fphone@gateway.example`:     nil,
		"%corp.example@gateway.example":                  {"corp.example"},
	} {
		if got := behind(address); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}
