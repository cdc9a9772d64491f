package hubwire

import (
	"context"
	"net"
	"net/http"
	"reflect"
	"time"
)

// valuesOf is a context with the values of ctx, without its end. The contexts
// that net/http makes for every connection and request would stay in memory as
// long as the connection: they are left out, and what they know is kept.
func valuesOf(ctx context.Context) context.Context {
	for {
		v := reflect.ValueOf(ctx)
		if !v.IsValid() || v.Type() != cancelCtxType {
			break
		}
		inner := parentOf(v)
		if inner == nil {
			break
		}
		ctx = inner
	}
	if addr, ok := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && reflect.TypeOf(ctx) == valueCtxType {
		if inner := parentOf(reflect.ValueOf(ctx)); inner != nil && inner.Value(http.LocalAddrContextKey) == nil {
			return &kept{inner, addr} // the address is all that ctx knows more than inner
		}
	}
	return context.WithoutCancel(ctx)
}

// kept is the context of a server's connection, without its end.
type kept struct {
	server context.Context
	local  *net.TCPAddr
}

func (*kept) Deadline() (end time.Time, ok bool) { return }
func (*kept) Done() <-chan struct{}              { return nil }
func (*kept) Err() error                         { return nil }

func (k *kept) Value(key any) any {
	if key == http.LocalAddrContextKey {
		return k.local
	}
	return k.server.Value(key)
}

// parentOf is the context in which one of package context lies.
func parentOf(v reflect.Value) context.Context {
	inner, _ := v.Elem().FieldByName("Context").Interface().(context.Context)
	return inner
}

// Types of what package context returns. Where it comes to look different, they
// are no type at all, and nothing is left out.
var (
	cancelCtxType = func() reflect.Type { // adds no values to its parent
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return nestedType(ctx)
	}()
	valueCtxType = nestedType(context.WithValue(context.Background(), userKey{}, nil)) // adds one
)

func nestedType(ctx context.Context) reflect.Type {
	t := reflect.TypeOf(ctx)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	if f, ok := t.Elem().FieldByName("Context"); !ok || !f.IsExported() || f.Type != reflect.TypeFor[context.Context]() {
		return nil
	}
	return t
}
