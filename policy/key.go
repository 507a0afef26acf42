package policy

import "encoding/binary"

// keySpace bounds a key. What does not fit, such as a long body, is not remembered: the memo stays small, and a text of
// that length hardly comes twice.
const keySpace = 384

// key is the values of some fields in a form in which no two different inputs look the same: each text behind its length,
// each list behind its count. It lives on the stack.
type key struct {
	n     int
	bytes [keySpace]byte
}

// fill tells whether the values fitted.
func (k *key) fill(in *Input, fields []Field) bool {
	for _, f := range fields {
		var ok bool
		switch f {
		case FieldSize:
			ok = k.number(uint64(in.Stanza.Size))
		case FieldHasBody, FieldContact:
			value, _ := in.truth(f)
			ok = k.truth(value)
		case FieldPayloads, FieldClass, FieldURLs, FieldJIDs:
			values, _ := in.list(f)
			ok = k.list(values)
		default:
			ok = k.text(in.text(f))
		}
		if !ok {
			return false
		}
	}
	return true
}

func (k *key) text(s string) bool {
	n := k.n
	if len(s)+2 > keySpace-n {
		return false
	}
	k.bytes[n], k.bytes[n+1] = byte(len(s)), byte(len(s)>>8)
	k.n = n + 2 + copy(k.bytes[n+2:], s)
	return true
}

func (k *key) list(values []string) bool {
	ok := k.number(uint64(len(values)))
	for i := 0; ok && i < len(values); i++ {
		ok = k.text(values[i])
	}
	return ok
}

func (k *key) number(v uint64) bool {
	if keySpace-k.n < 8 {
		return false
	}
	binary.LittleEndian.PutUint64(k.bytes[k.n:], v)
	k.n += 8
	return true
}

func (k *key) truth(v bool) bool {
	if v {
		return k.number(1)
	}
	return k.number(0)
}
