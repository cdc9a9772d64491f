package hubtest_test

import (
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

func TestBackplaneInMemory(t *testing.T) {
	hubtest.TestBackplane(t, func(t testing.TB, n int) (all []hubwire.Backplane) {
		b := hubtest.NewBackplane()
		for range n {
			all = append(all, b.Node())
		}
		return all
	})
}
