package hubwire

import (
	"context"
	"reflect"
)

// valuesOf is a context with the values of ctx, without its end. The contexts
// that net/http makes for every connection and request carry no values of their
// own above the innermost, and would stay in memory as long as the connection:
// they are left out.
func valuesOf(ctx context.Context) context.Context {
	for {
		v := reflect.ValueOf(ctx)
		if !v.IsValid() || v.Type() != cancelCtxType {
			return context.WithoutCancel(ctx)
		}
		inner, ok := v.Elem().FieldByName("Context").Interface().(context.Context)
		if !ok || inner == nil {
			return context.WithoutCancel(ctx)
		}
		ctx = inner
	}
}

// cancelCtxType is the type of what context.WithCancel returns, which adds no
// values to its parent. Where package context comes to look different, it is no
// type at all, and nothing is left out.
var cancelCtxType = func() reflect.Type {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	t := reflect.TypeOf(ctx)
	if t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	if f, ok := t.Elem().FieldByName("Context"); !ok || !f.IsExported() || f.Type != reflect.TypeFor[context.Context]() {
		return nil
	}
	return t
}()
