package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/hubwire/hubwire"
)

// Streams to the client, to the hub, and both.
const (
	Count            hubwire.ServerStream[int32, int32]        = "Count"
	CountSlowly      hubwire.ServerStream[countSlowly, int32]  = "CountSlowly"
	CountChannel     hubwire.ServerStream[int32, int32]        = "CountChannel"
	CountThenFail    hubwire.ServerStream[int32, int32]        = "CountThenFail"
	CountThenFailHub hubwire.ServerStream[int32, int32]        = "CountThenFailHub"
	Forever          hubwire.ServerStream[hubwire.None, int32] = "Forever"
	EmptyStream      hubwire.ServerStream[hubwire.None, int32] = "EmptyStream"
	NullStream       hubwire.ServerStream[hubwire.None, int32] = "NullStream"

	Sum          hubwire.ClientStream[int32, int32]   = "Sum"
	Concat       hubwire.ClientStream[string, string] = "Concat"
	TakeTwo      hubwire.ClientStream[int32, int32]   = "TakeTwo"
	UploadErrors hubwire.ClientStream[int32, string]  = "UploadErrors"
	Mixed        hubwire.Method[mixed, string]        = "Mixed"
	Mirror       hubwire.BidiStream[int32, int32]     = "Mirror"
)

type (
	countSlowly struct {
		hubwire.Args
		N, Ms int32
	}
	mixed struct {
		hubwire.Args
		Prefix string
		A      hubwire.Stream[int32]
		Suffix string
		B      hubwire.Stream[string]
	}
)

// A ChannelClosedException says that a stream ended before it had what was
// wanted of it.
type ChannelClosedException struct{}

func (*ChannelClosedException) Error() string { return "The channel has been closed." }

func streams(cancelled *counter) []hubwire.Handler {
	return []hubwire.Handler{
		Count.With(func(_ context.Context, _ *hubwire.Conn, n int32) iter.Seq2[int32, error] { return count(n, nil) }),
		CountChannel.With(func(_ context.Context, _ *hubwire.Conn, n int32) iter.Seq2[int32, error] { return count(n, nil) }),
		CountThenFail.With(func(_ context.Context, _ *hubwire.Conn, n int32) iter.Seq2[int32, error] {
			return count(n, &InvalidOperationException{"stream failed"})
		}),
		CountThenFailHub.With(func(_ context.Context, _ *hubwire.Conn, n int32) iter.Seq2[int32, error] {
			return count(n, hubwire.Errorf(hubwire.CodeUnknown, "stream failed"))
		}),
		CountSlowly.With(func(ctx context.Context, c *hubwire.Conn, in countSlowly) iter.Seq2[int32, error] {
			return func(yield func(int32, error) bool) {
				for i := range in.N {
					if _, err := sleep(ctx, c, in.Ms); err != nil {
						yield(0, err)
						return
					}
					if !yield(i, nil) {
						return
					}
				}
			}
		}),
		Forever.With(func(ctx context.Context, _ *hubwire.Conn, _ hubwire.None) iter.Seq2[int32, error] {
			return func(yield func(int32, error) bool) {
				defer cancelled.Add(1) // it ends in no other way
				tick := time.NewTicker(50 * time.Millisecond)
				defer tick.Stop()
				for i := int32(0); yield(i, nil); i++ {
					select {
					case <-tick.C:
					case <-ctx.Done():
						return
					}
				}
			}
		}),
		EmptyStream.With(func(context.Context, *hubwire.Conn, hubwire.None) iter.Seq2[int32, error] { return count(0, nil) }),
		NullStream.With(func(context.Context, *hubwire.Conn, hubwire.None) iter.Seq2[int32, error] { return nil }),

		Sum.With(func(_ context.Context, _ *hubwire.Conn, numbers iter.Seq2[int32, error]) (int32, error) {
			return sum(numbers)
		}),
		Concat.With(func(_ context.Context, _ *hubwire.Conn, parts iter.Seq2[string, error]) (string, error) {
			return concat(parts)
		}),
		TakeTwo.With(takeTwo),
		UploadErrors.With(func(_ context.Context, _ *hubwire.Conn, numbers iter.Seq2[int32, error]) (string, error) {
			if _, err := sum(numbers); err != nil {
				return err.Error(), nil
			}
			return "none", nil
		}),
		Mixed.With(mix),
		Mirror.With(func(_ context.Context, _ *hubwire.Conn, numbers iter.Seq2[int32, error]) iter.Seq2[int32, error] {
			return func(yield func(int32, error) bool) {
				for n, err := range numbers {
					if !yield(2*n, err) {
						return
					}
				}
			}
		}),
	}
}

// count yields 0 … n-1, and err at the end if there is one.
func count(n int32, err error) iter.Seq2[int32, error] {
	return func(yield func(int32, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		if err != nil {
			yield(0, err)
		}
	}
}

func sum(numbers iter.Seq2[int32, error]) (total int32, err error) {
	for n, err := range numbers {
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func concat(parts iter.Seq2[string, error]) (string, error) {
	var text strings.Builder
	for p, err := range parts {
		if err != nil {
			return "", err
		}
		text.WriteString(p)
	}
	return text.String(), nil
}

func takeTwo(_ context.Context, _ *hubwire.Conn, numbers iter.Seq2[int32, error]) (total int32, err error) {
	taken := 0
	for n, err := range numbers {
		if err != nil {
			return 0, err
		}
		total += n
		if taken++; taken == 2 {
			return total, nil
		}
	}
	return 0, &ChannelClosedException{}
}

// mix reads its two streams side by side: the client may fill the second one
// before it ends the first.
func mix(_ context.Context, _ *hubwire.Conn, in mixed) (string, error) {
	var (
		reads  sync.WaitGroup
		total  int32
		text   string
		ae, be error
	)
	reads.Go(func() { total, ae = sum(iter.Seq2[int32, error](in.A)) }) // both end with their streams
	reads.Go(func() { text, be = concat(iter.Seq2[string, error](in.B)) })
	reads.Wait()
	if err := errors.Join(ae, be); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s:%d:%s:%s", in.Prefix, total, text, in.Suffix), nil
}
