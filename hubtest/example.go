package hubtest

import (
	"context"
	"fmt"
	"testing"
)

// Example runs fn with a testing.TB for examples, which have none: a failure
// panics, and what Cleanup was given runs at the end.
func Example(fn func(t testing.TB)) {
	ctx, cancel := context.WithCancel(context.Background())
	t := &exampleTB{ctx: ctx}
	defer func() {
		cancel()
		for i := len(t.cleanups) - 1; i >= 0; i-- {
			t.cleanups[i]()
		}
	}()
	fn(t)
}

// An exampleTB has what hubtest and a reader of an example need.
type exampleTB struct {
	testing.TB // nil: for the methods that nobody calls
	ctx        context.Context
	cleanups   []func()
}

func (t *exampleTB) Helper()                           {}
func (t *exampleTB) Context() context.Context          { return t.ctx }
func (t *exampleTB) Cleanup(fn func())                 { t.cleanups = append(t.cleanups, fn) }
func (t *exampleTB) Name() string                      { return "Example" }
func (t *exampleTB) Failed() bool                      { return false }
func (t *exampleTB) Log(args ...any)                   { fmt.Println(args...) }
func (t *exampleTB) Logf(format string, args ...any)   { fmt.Printf(format+"\n", args...) }
func (t *exampleTB) Error(args ...any)                 { panic(fmt.Sprint(args...)) }
func (t *exampleTB) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (t *exampleTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (t *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
