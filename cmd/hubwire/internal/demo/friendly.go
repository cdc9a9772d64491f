package demo

import (
	"math/rand/v2"
	"strings"
	"unicode"
)

// maxName is how many characters a name may have.
const maxName = 20

var (
	moods   = strings.Fields("Brisk Calm Clever Gentle Quiet Merry Nimble Bold Sunny Witty Keen Jolly Lucky Patient Swift Candid Curious Dapper Plucky Mellow")
	animals = strings.Fields("Otter Heron Lynx Badger Finch Hare Falcon Seal Magpie Marten Wren Beaver Stork Gecko Puffin Ibex Newt Owl Robin Vole")
)

// friendlyName is a name for somebody who brought none.
func friendlyName() string {
	return moods[rand.IntN(len(moods))] + " " + animals[rand.IntN(len(animals))]
}

// tidyName is name as others may see it: one line without control characters
// or doubled spaces, at most maxName long. It may be empty.
func tidyName(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, name)
	clean = strings.Join(strings.Fields(clean), " ")
	if runes := []rune(clean); len(runes) > maxName {
		clean = strings.TrimSpace(string(runes[:maxName]))
	}
	return clean
}
