package jsonrpc

import (
	"context"

	"github.com/hubwire/hubwire"
)

// A Disposable is an object that can be disposed of and nothing else: .NET's
// IDisposable. The zero Disposable is null.
type Disposable struct{ Object }

// NewDisposable makes one; fn is called when the other end disposes of it.
func NewDisposable(fn func()) Disposable {
	o := NewObject(nil, disposer("dispose", fn))
	o.own.dispose = fn
	return Disposable{o}
}

// Dispose disposes of a received one and gives it back.
func (d Disposable) Dispose(ctx context.Context) error {
	return d.remote.giveBack(ctx, "dispose")
}

// An Observer is told of values, and of their end: .NET's IObserver<T>. The zero
// Observer is null.
type Observer[T any] struct{ Object }

// NewObserver makes an observer. next is called for each value, in order, and done
// once, with nil or with the error; either may be nil.
func NewObserver[T any](next func(T), done func(error)) Observer[T] {
	return Observer[T]{NewObject(nil,
		hubwire.Command[T]("onNext").With(func(_ context.Context, _ *hubwire.Conn, v T) error {
			if next != nil {
				next(v)
			}
			return nil
		}),
		hubwire.Command[hubwire.None]("onCompleted").With(func(context.Context, *hubwire.Conn, hubwire.None) error {
			if done != nil {
				done(nil)
			}
			return nil
		}),
		hubwire.Command[ExceptionData]("onError").With(func(_ context.Context, _ *hubwire.Conn, e ExceptionData) error {
			if done != nil {
				done(&Error{Code: CodeFailed, Message: e.Message, Data: &e})
			}
			return nil
		}),
	)}
}

// Next tells a received observer a value.
func (o Observer[T]) Next(ctx context.Context, v T) error {
	if err := o.remote.usable(); err != nil {
		return err
	}
	return o.remote.conn.tell(ctx, o.remote.method("onNext"), nil, false, v)
}

// Completed tells a received observer that there are no more values, and gives it
// back.
func (o Observer[T]) Completed(ctx context.Context) error {
	return o.remote.giveBack(ctx, "onCompleted")
}

// Fail tells a received observer that there are no more values, and why, and gives
// it back.
func (o Observer[T]) Fail(ctx context.Context, err error) error {
	if bad := o.remote.usable(); bad != nil {
		return bad
	}
	if bad := o.remote.conn.tell(ctx, o.remote.method("onError"), nil, false, NewExceptionData(err)); bad != nil {
		return bad
	}
	return o.remote.giveBack(ctx, "")
}
