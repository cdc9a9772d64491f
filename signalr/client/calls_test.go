package client_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/dotnet"
	"github.com/hubwire/hubwire/signalr/client"
)

func echoes[T any](e *env, c *client.Conn, name hubwire.Method[T, T], values ...T) {
	e.Helper()
	for _, v := range values {
		got, err := name.Call(e.ctx, c, v)
		if err != nil {
			e.Errorf("%s(%v): %v", name, v, err)
			continue
		}
		equal(e, got, v)
	}
}

func TestEcho(t *testing.T) {
	everywhere(t, func(e *env) {
		c := e.dial("/conformance", nil)
		equal(e, c.Transport(), e.way.transport)
		equal(e, result[string](e)(connectionID.Call(e.ctx, c, hubwire.None{})), c.ID())
		echoes(e, c, echoString, "", "hi", "ä € 😀 \"\\\u2028\x1e\x00 <b>&", strings.Repeat("x", 20_000))
		echoes(e, c, echoInt, 0, 1, -1, math.MaxInt32, math.MinInt32)
		echoes(e, c, echoLong, 0, math.MaxInt64, math.MinInt64, 1<<53+1)
		echoes(e, c, echoDouble, 0, -0.25, 1e300, math.SmallestNonzeroFloat64)
		echoes(e, c, echoBool, true, false)
		echoes(e, c, echoBytes, []byte{}, []byte{0, 1, 255}, []byte(strings.Repeat("\x1e", 10_000)))
		zone := time.FixedZone("", 2*3600)
		echoes(e, c, echoTime, dotnet.NewDateTimeOffset(time.Date(2026, 11, 24, 1, 2, 3, 456_000_000, zone)))
		echoes(e, c, echoGuid, dotnet.NewGuid())
		echoes(e, c, echoNullable, nil, new("x"))
		ada := person{Name: "Ada", Age: 36, Tags: []string{"x", "y"}}
		bob := person{Name: "Bob", Tags: []string{}, Nick: new("b")}
		echoes(e, c, echoPerson, ada, bob)
		echoes(e, c, echoPeople, []person{}, []person{ada, bob})
		echoes(e, c, echoMap, map[string]int32{}, map[string]int32{"a": 1, "B": -2, "": 3})
		equal(e, result[string](e)(join3.Call(e.ctx, c, joinArgs{A: "a", B: 2, C: true})), "a|2|True")
		equal(e, result[string](e)(renamed.Call(e.ctx, c, "r")), "r")
		check(e, nothing.Call(e.ctx, c, hubwire.None{}))
		check(e, nothing.Send(e.ctx, c, hubwire.None{}))
		check(e, setItem.Call(e.ctx, c, itemArgs{Key: "k", Value: "v"}))
		equal(e, *result[*string](e)(getItem.Call(e.ctx, c, "k")), "v")
		equal(e, result[*string](e)(getItem.Call(e.ctx, c, "none")), nil)
	})
}

func TestErrors(t *testing.T) {
	everywhere(t, func(e *env) {
		c := e.dial("/conformance", nil)
		wantHubError(e, fail.Call(e.ctx, c, "m"), "An unexpected error occurred invoking 'Fail' on the server.")
		wantHubError(e, failHub.Call(e.ctx, c, "m"), "An unexpected error occurred invoking 'FailHub' on the server. HubException: m")
		wantHubError(e, hubwire.Command[hubwire.None]("Nowhere").Call(e.ctx, c, hubwire.None{}),
			"Failed to invoke 'Nowhere' due to an error on the server. HubException: Method does not exist.")
		wantHubError(e, hubwire.Command[string]("EchoInt").Call(e.ctx, c, "x"), "Failed to invoke 'EchoInt' due to an error on the server.")
		wantHubError(e, hubwire.Command[hubwire.None]("EchoInt").Call(e.ctx, c, hubwire.None{}), "Failed to invoke 'EchoInt' due to an error on the server.")
		_, err := hubwire.Method[int32, int32]("Count").Call(e.ctx, c, 1)
		wantHubError(e, err, "The client attempted to invoke the streaming 'Count' method with a non-streaming invocation.")
		check(e, fail.Send(e.ctx, c, "nobody hears it"))
		_, err = hubwire.Method[string, int]("EchoString").Call(e.ctx, c, "no number")
		wantText(e, err, "client: method EchoString:")
		_, err = hubwire.Method[any, string]("EchoString").Call(e.ctx, c, make(chan int))
		wantText(e, err, "client: method EchoString: argument 0:")
		equal(e, c.State(), client.Connected)
		echoes(e, c, echoInt, 7)

		d := e.dial("/detailed", nil)
		wantHubError(e, fail.Call(e.ctx, d, "m"), "An unexpected error occurred invoking 'Fail' on the server. InvalidOperationException: m")
	})
}

func TestStreams(t *testing.T) {
	everywhere(t, func(e *env) {
		c := e.dial("/conformance", nil)
		counted := []int32{0, 1, 2, 3, 4}
		equal(e, result[[]int32](e)(all(count.Open(e.ctx, c, 5))), counted)
		equal(e, result[[]int32](e)(all(countChannel.Open(e.ctx, c, 5))), counted)
		equal(e, result[[]int32](e)(all(countSlowly.Open(e.ctx, c, slowlyArgs{N: 5, Ms: 2}))), counted)
		equal(e, len(result[[]int32](e)(all(count.Open(e.ctx, c, 3000)))), 3000)
		equal(e, result[[]int32](e)(all(emptyStream.Open(e.ctx, c, hubwire.None{}))), nil)
		got, err := all(countThenFail.Open(e.ctx, c, 2))
		equal(e, got, []int32{0, 1})
		wantHubError(e, err, "An error occurred on the server while streaming results.")
		got, err = all(countThenFailHub.Open(e.ctx, c, 2))
		equal(e, got, []int32{0, 1})
		wantHubError(e, err, "An error occurred on the server while streaming results. HubException: stream failed")
		_, err = all(nullStream.Open(e.ctx, c, hubwire.None{}))
		wantHubError(e, err, "The value returned by the streaming method 'NullStream' is not a ChannelReader<> or IAsyncEnumerable<>.")
		_, err = all(hubwire.ServerStream[int32, int32]("EchoInt").Open(e.ctx, c, 1))
		wantHubError(e, err, "The client attempted to invoke the non-streaming 'EchoInt' method with a streaming invocation.")
		_, err = all(hubwire.ServerStream[int32, string]("Count").Open(e.ctx, c, 5))
		wantText(e, err, "client: server stream Count:")
	})
}

// Leaving the loop and ending ctx both cancel the stream at the hub.
func TestStreamCancel(t *testing.T) {
	everywhere(t, func(e *env) {
		c := e.dial("/conformance", nil)
		before := result[int64](e)(cancelled.Call(e.ctx, c, hubwire.None{}))
		for v, err := range forever.Open(e.ctx, c, hubwire.None{}) {
			check(e, err)
			if v == 2 {
				break
			}
		}
		ctx, cancel := context.WithCancel(e.ctx)
		defer cancel()
		var last error
		for _, last = range forever.Open(ctx, c, hubwire.None{}) {
			cancel()
		}
		if !errors.Is(last, context.Canceled) {
			e.Errorf("the last error is %v", last)
		}
		eventually(e, "both streams are cancelled", func() bool {
			return result[int64](e)(cancelled.Call(e.ctx, c, hubwire.None{})) >= before+2
		})
	})
}

func TestCallCancel(t *testing.T) {
	everywhere(t, func(e *env) {
		c := e.dial("/conformance", nil)
		ctx, cancel := context.WithTimeout(e.ctx, 20*time.Millisecond)
		defer cancel()
		_, err := sleep.Call(ctx, c, 100)
		if !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("the error is %v", err)
		}
		_, err = echoInt.Call(ctx, c, 1)
		if !errors.Is(err, context.DeadlineExceeded) {
			e.Errorf("with a ctx that has ended, the error is %v", err)
		}
		echoes(e, c, echoInt, 1) // behind the sleep, whose result is dropped
	})
}

func TestUploads(t *testing.T) {
	everywhere(t, func(e *env) {
		c := e.dial("/conformance", nil)
		equal(e, result[int32](e)(sum.Call(e.ctx, c, items[int32](1, 2, 3))), 6)
		equal(e, result[int32](e)(sum.Call(e.ctx, c, items[int32]())), 0)
		equal(e, result[int32](e)(sum.Call(e.ctx, c, nil)), 0)
		equal(e, result[int32](e)(sum.Call(e.ctx, c, upTo(2000))), 1999*1000)
		equal(e, result[string](e)(concat.Call(e.ctx, c, items("a", "", "ö", "b"))), "aöb")
		equal(e, result[int32](e)(takeTwo.Call(e.ctx, c, items[int32](4, 5, 6))), 9)
		equal(e, result[string](e)(uploadErrors.Call(e.ctx, c, items[int32](1))), "none")
		equal(e, result[string](e)(uploadErrors.Call(e.ctx, c, func(yield func(int32, error) bool) {
			_ = yield(1, nil) && yield(0, errors.New("no more"))
		})), "no more")
		equal(e, result[string](e)(uploadErrors.Call(e.ctx, c, func(func(int32, error) bool) { panic("boom") })), "panic: boom")
		equal(e, result[[]int32](e)(all(mirror.Open(e.ctx, c, items[int32](1, 2, 3)))), []int32{2, 4, 6})
		equal(e, result[string](e)(mixed.Call(e.ctx, c, mixedArgs{
			Prefix: "p", A: hubwire.Stream[int32](items[int32](1, 2)), Suffix: "s", B: hubwire.Stream[string](items("x", "y", "z")),
		})), "p:3:xyz:s")
	})
}

// Both ways at once: each answer is seen before the next item is made.
func TestMirrorInStep(t *testing.T) {
	everywhere(t, func(e *env) {
		c := e.dial("/conformance", nil)
		next := make(chan int32, 1)
		next <- 1
		up := func(yield func(int32, error) bool) {
			for v := range next {
				if !yield(v, nil) {
					return
				}
			}
		}
		var got []int32
		for v, err := range mirror.Open(e.ctx, c, up) {
			check(e, err)
			if got = append(got, v); v > 100 {
				close(next)
				continue
			}
			next <- v
		}
		equal(e, got, []int32{2, 4, 8, 16, 32, 64, 128})
	})
}

// A method that waits for items is told when its call is given up.
func TestUploadCancel(t *testing.T) {
	everywhere(t, func(e *env) {
		c := e.dial("/conformance", nil)
		ctx, cancel := context.WithCancel(e.ctx)
		defer cancel()
		_, err := uploadErrors.Call(ctx, c, func(yield func(int32, error) bool) {
			yield(1, nil)
			cancel()
			<-ctx.Done()
			yield(2, nil)
		})
		if !errors.Is(err, context.Canceled) {
			e.Errorf("the error is %v", err)
		}
		// One call runs at a time: another one would wait for ever.
		echoes(e, c, echoInt, 1)
	})
}

func TestManyCallsAtOnce(t *testing.T) {
	everywhere(t, func(e *env) {
		c := e.dial("/conformance", nil)
		var calls sync.WaitGroup
		for i := range 50 {
			calls.Go(func() {
				s := strings.Repeat(fmt.Sprint(i, " "), 1000)
				if got, err := echoString.Call(e.ctx, c, s); err != nil || got != s {
					e.Errorf("call %d: %.20q, %v", i, got, err)
				}
			})
		}
		calls.Wait()
	})
}

func TestQuestions(t *testing.T) {
	everywhere(t, func(e *env) {
		var c *client.Conn
		c = e.dial("/conformance", &client.Options{Handlers: []hubwire.ClientHandler{
			answer.With(func(ctx context.Context, q string) (*string, error) {
				switch q {
				case "null":
					return nil, nil
				case "fail":
					return nil, errors.New("no idea")
				case "panic":
					panic("boom")
				case "nested":
					self := client.FromContext(ctx)
					id, err := connectionID.Call(ctx, self, hubwire.None{})
					return &id, err
				}
				return new("re: " + q), nil
			}),
		}})
		equal(e, *result[*string](e)(ask.Call(e.ctx, c, "x")), "re: x")
		equal(e, result[*string](e)(ask.Call(e.ctx, c, "null")), nil)
		equal(e, *result[*string](e)(askVoid.Call(e.ctx, c, hubwire.None{})), "re: void")
		_, err := ask.Call(e.ctx, c, "fail")
		wantHubError(e, err, "An unexpected error occurred invoking 'Ask' on the server. HubException: no idea")
		_, err = ask.Call(e.ctx, c, "panic")
		wantHubError(e, err, "An unexpected error occurred invoking 'Ask' on the server. HubException: panic")
		equal(e, *result[*string](e)(ask.Call(e.ctx, c, "nested")), c.ID())

		other := e.dial("/conformance", nil)
		equal(e, *result[*string](e)(askClient.Call(e.ctx, other, pair{To: c.ID(), M: "y"})), "re: y")
		_, err = ask.Call(e.ctx, other, "x")
		wantHubError(e, err, "An unexpected error occurred invoking 'Ask' on the server. HubException: Client didn't provide a result.")
		off := other.On(answer.With(func(context.Context, string) (*string, error) { return new("late"), nil }))
		equal(e, *result[*string](e)(ask.Call(e.ctx, other, "x")), "late")
		off()
		if _, err = ask.Call(e.ctx, other, "x"); err == nil {
			e.Error("the handler is off, and answers")
		}
	})
}
