package jsonrpc

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names for Options.Names, as StreamJsonRpc makes them.

// TrimAsync gives a name that ends in Async both ways: "GetAsync" can be called as
// that and as "Get".
func TrimAsync(name string) []string {
	if short, ok := strings.CutSuffix(name, "Async"); ok && short != "" && !strings.HasSuffix(short, ".") {
		return []string{name, short}
	}
	return []string{name}
}

// CamelCase begins a name with a small letter.
func CamelCase(name string) string {
	r, n := utf8.DecodeRuneInString(name)
	return string(unicode.ToLower(r)) + name[n:]
}

// Prepend gives names with a prefix.
func Prepend(prefix string) func(string) string {
	return func(name string) string { return prefix + name }
}

// SnakeCase is a name in small letters, with a line before each that was large:
// "firstPart" is "first_part".
func SnakeCase(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
