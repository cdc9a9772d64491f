//go:build race

package hubwire_test

const raceEnabled = true
