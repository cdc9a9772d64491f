//go:build !race

package hubwire_test

const raceEnabled = false
