package document

import (
	"encoding"
	"errors"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// assign writes the value that text means into v, a settable scalar. Its error completes the sentence "… is not …".
func assign(v reflect.Value, text string, words []string) error {
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		if err := assign(fresh.Elem(), text, words); err != nil {
			return err
		}
		v.Set(fresh)
		return nil
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return errors.New("a duration is a number with its unit")
		}
		v.SetInt(int64(d))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		if len(words) > 0 && !slices.Contains(words, text) {
			return errors.New("not one of the words")
		}
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errors.New("neither true nor false")
		}
		v.SetBool(text == "true")
	case reflect.Int64:
		n, err := parseSize(text)
		if err != nil {
			return err
		}
		v.SetInt(n)
	case reflect.Int, reflect.Uint32:
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return errors.New("not a whole number of a sane size")
		}
		if v.Kind() == reflect.Int {
			v.SetInt(int64(n))
		} else {
			v.SetUint(n)
		}
	default:
		panic("document: no way to read a " + v.Type().String())
	}
	return nil
}

// parseSize reads a number of bytes: 512KiB, 64MiB, 1GiB, or a bare number.
func parseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for _, u := range []struct {
		suffix string
		bytes  int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}} {
		if before, ok := strings.CutSuffix(text, u.suffix); ok {
			number, unit = strings.TrimSpace(before), u.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/unit {
		return 0, errors.New("a size is a whole number and B, KiB, MiB or GiB")
	}
	return int64(n) * unit, nil
}
