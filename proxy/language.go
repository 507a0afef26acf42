package proxy

import "strings"

// ourLang is the xml:lang of every stream header of ours.
const ourLang = "en"

// language is the xml:lang of a peer's stream, which its stanzas inherit ([C16], RFC 6120 §4.7.4). The zero value is that of a
// peer which names none: its stanzas leave as they came.
type language struct {
	spoken string // as the peer's header has it
	added  string // what a stanza without a language of its own is given on its way out; empty where our headers say the same
}

// languageOf reads the xml:lang of a header. What is no language tag is not passed on: it would be repeated on every stanza.
func languageOf(tag string) language {
	switch {
	case !isLanguageTag(tag):
		return language{}
	case strings.EqualFold(tag, ourLang):
		return language{spoken: tag}
	}
	return language{spoken: tag, added: tag}
}

// isLanguageTag says whether s has the form of a language tag (RFC 5646 §2.1), and the length that each of them fits in (RFC 5646
// §4.4.1).
func isLanguageTag(s string) bool {
	const longest, longestPart = 35, 8
	if s == "" || len(s) > longest {
		return false
	}
	for part := range strings.SplitSeq(s, "-") {
		if part == "" || len(part) > longestPart {
			return false
		}
		for _, c := range []byte(part) {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
				return false
			}
		}
	}
	return true
}
