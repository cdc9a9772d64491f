package hubwire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/hubwire/hubwire/wire"
)

// Methods makes a handler of each exported method of v, for those who like
// their hub as a type. v is usually a pointer to a struct:
//
//	type Chat struct{ store *Store }
//
//	func (h *Chat) Send(ctx context.Context, c *hubwire.Conn, room, text string) error
//	func (h *Chat) History(ctx context.Context, c *hubwire.Conn, room string) iter.Seq2[Message, error]
//
//	hub.Handle(hubwire.Methods(&Chat{store}, nil)...)
//
// A method takes a context.Context, a *Conn, and its arguments: an iter.Seq2[T,
// error] (or Stream[T]) among them is an uploaded stream, trailing arguments of
// type Opt may be absent. It returns an error, or a result and an error, or a
// stream alone, an iter.Seq2[T, error], which carries its own. The method is
// called by many goroutines at once.
//
// names renames methods, by their Go name; "-" leaves one out. Go keeps no names
// of parameters, so calls by name are refused where there is more than one.
//
// Methods panics, and says which and where, when an exported method does not
// fit, when names has a key that is no method, and when v embeds a type with
// exported methods: what clients can call is what the type itself declares.
func Methods(v any, names map[string]string) []Handler {
	recv := reflect.ValueOf(v)
	if !recv.IsValid() {
		panic("hubwire: Methods of nil")
	}
	t := recv.Type()
	head := fmt.Sprintf("hubwire: Methods(%v): ", t)
	if bad := checkReceiver(recv); bad != "" {
		panic(head + bad)
	}
	var hs []Handler
	var bad []string
	unknown := maps.Clone(names)
	for m := range t.Methods() {
		name, renamed := names[m.Name]
		delete(unknown, m.Name)
		if name == "-" {
			continue
		}
		if !renamed {
			name = m.Name
		}
		place := placeOf(t, m)
		h, err := methodHandler(recv, m, name)
		if err != nil {
			bad = append(bad, fmt.Sprintf("%s, at %s: %v", m.Name, place, err))
			continue
		}
		h.place = place
		hs = append(hs, h)
	}
	for _, name := range slices.Sorted(maps.Keys(unknown)) {
		bad = append(bad, fmt.Sprintf("names has %q, which is no exported method", name))
	}
	if len(bad) > 0 {
		panic(head + strings.Join(bad, "; "))
	}
	if len(hs) == 0 {
		panic(head + "it has no exported methods")
	}
	return hs
}

// checkReceiver says what is wrong with the v of Methods as a whole.
func checkReceiver(recv reflect.Value) string {
	t := recv.Type()
	if t.Kind() == reflect.Pointer {
		if recv.IsNil() {
			return "the pointer is nil"
		}
		t = t.Elem()
	} else if all := reflect.PointerTo(t); all.NumMethod() > t.NumMethod() {
		for m := range all.Methods() {
			if _, ok := t.MethodByName(m.Name); !ok {
				return fmt.Sprintf("%s, at %s, is a method of *%v; give a pointer", m.Name, placeOf(all, m), t)
			}
		}
	}
	if t.Kind() != reflect.Struct {
		return ""
	}
	for f := range t.Fields() {
		if !f.Anonymous {
			continue
		}
		methods := f.Type
		if f.Type.Kind() == reflect.Struct {
			methods = reflect.PointerTo(f.Type)
		}
		if methods.NumMethod() > 0 {
			return fmt.Sprintf("it embeds %v, whose methods (%s) clients could call; give the field a name", f.Type, methods.Method(0).Name)
		}
	}
	return ""
}

// placeOf is the file and line of a method. Where the pointer's method is made
// by the compiler, that of the value is meant.
func placeOf(t reflect.Type, m reflect.Method) string {
	if t.Kind() == reflect.Pointer {
		if own, ok := t.Elem().MethodByName(m.Name); ok {
			m = own
		}
	}
	f := runtime.FuncForPC(m.Func.Pointer())
	if f == nil {
		return "an unknown place"
	}
	file, line := f.FileLine(f.Entry())
	return fmt.Sprintf("%s:%d", file, line)
}

var (
	contextType = reflect.TypeFor[context.Context]()
	connType    = reflect.TypeFor[*Conn]()
	errorType   = reflect.TypeFor[error]()
	boolType    = reflect.TypeFor[bool]()
)

// seqItem is the T of an iter.Seq2[T, error], or of any type that is one
// underneath; nil where t is none.
func seqItem(t reflect.Type) reflect.Type {
	if t.Kind() != reflect.Func || t.NumIn() != 1 || t.NumOut() != 0 || t.IsVariadic() {
		return nil
	}
	y := t.In(0)
	if y.Kind() != reflect.Func || y.NumIn() != 2 || y.NumOut() != 1 || y.IsVariadic() || y.In(1) != errorType || y.Out(0) != boolType {
		return nil
	}
	return y.In(0)
}

// methodHandler makes a handler of one method. Its place is not set.
func methodHandler(recv reflect.Value, m reflect.Method, name string) (h Handler, err error) {
	if name == "" {
		return h, errors.New("its new name is empty")
	}
	ft := m.Type // with the receiver in front
	switch {
	case ft.IsVariadic():
		return h, errors.New("it is variadic; take a slice")
	case ft.NumIn() < 3 || ft.In(1) != contextType || ft.In(2) != connType:
		return h, errors.New("its first parameters must be context.Context and *hubwire.Conn")
	}
	h = Handler{name: name, noNames: true}
	if err := h.setResults(ft); err != nil {
		return h, err
	}
	if h.lay, h.in, err = paramLayout(ft); err != nil {
		return h, err
	}
	h.uploads = h.lay.streams
	if h.uploads == 1 && h.lay.plain == 0 {
		if h.kind == wire.ServerStream {
			h.kind = wire.BidiStream
		} else {
			h.kind = wire.ClientStream
		}
	}
	in := h.in
	h.newIn = func() any { return reflect.New(in).Interface() }
	h.invoke = methodInvoke(recv, m.Func, h.kind, h.lay)
	return h, nil
}

// setResults sets kind and out from what the method returns.
func (h *Handler) setResults(ft reflect.Type) error {
	n := ft.NumOut()
	if n == 0 {
		return errors.New("it returns nothing; it must return an error, a result and an error, or an iter.Seq2[T, error]")
	}
	first := ft.Out(0)
	item := seqItem(first)
	switch {
	case item != nil && n == 1:
		h.kind, h.out = wire.ServerStream, item
	case item != nil:
		return errors.New("it returns a stream and more; the stream carries its own error, so it must be alone")
	case n == 1 && first == errorType:
		h.kind = wire.Command
		return nil
	case n != 2 || ft.Out(1) != errorType:
		return errors.New("it must return an error, a result and an error, or an iter.Seq2[T, error]")
	case first == noneType:
		h.kind = wire.Command
		return nil
	default:
		h.kind, h.out = wire.Method, first
	}
	if k := h.out.Kind(); k == reflect.Chan || k == reflect.Func {
		return fmt.Errorf("its result %v cannot be sent; streams are iter.Seq2[T, error]", h.out)
	}
	if err := checkValue(h.out, nil); err != nil {
		return fmt.Errorf("result %v: %w", h.out, err)
	}
	return nil
}

// paramLayout is the layout of a method's parameters, and the type that they
// are bound in: a struct with one field for each, or the only one itself.
func paramLayout(ft reflect.Type) (*layout, reflect.Type, error) {
	lay := &layout{shape: fields, unnamed: true}
	var sf []reflect.StructField
	for i := 3; i < ft.NumIn(); i++ {
		t := ft.In(i)
		a := argField{index: i - 3, name: "parameter " + strconv.Itoa(i-2)}
		p := reflect.PointerTo(t)
		value := t // what is encoded
		switch {
		case p.Implements(streamIface) && t.Kind() == reflect.Func:
			a.stream, value = true, seqItem(t)
		case seqItem(t) != nil:
			a.stream, a.item, value = true, seqItem(t), seqItem(t)
		case p.Implements(optIface) && t.Kind() == reflect.Struct && t.Field(0).Name == "Value":
			a.opt, value = true, t.Field(0).Type
		case lay.plain > lay.required:
			return nil, nil, fmt.Errorf("its %s follows an Opt; only trailing arguments may be absent", a.name)
		}
		if k := value.Kind(); k == reflect.Chan || k == reflect.Func {
			return nil, nil, fmt.Errorf("its %s is %v, which cannot be sent; streams are iter.Seq2[T, error]", a.name, value)
		}
		if err := checkValue(value, nil); err != nil {
			return nil, nil, fmt.Errorf("its %s, %v: %w", a.name, t, err)
		}
		switch {
		case a.stream:
			lay.streams++
		case a.opt:
			lay.plain++
		default:
			lay.plain++
			lay.required++
		}
		lay.fields = append(lay.fields, a)
		sf = append(sf, reflect.StructField{Name: "P" + strconv.Itoa(i-2), Type: t})
	}
	switch {
	case len(sf) == 0:
		return &layout{shape: none, unnamed: true}, noneType, nil
	case len(sf) == 1 && lay.required == 1:
		return &layout{shape: single, plain: 1, required: 1, unnamed: true}, sf[0].Type, nil
	}
	return lay, reflect.StructOf(sf), nil
}

// methodInvoke calls the method: with one reflect.Value.Call for each call.
func methodInvoke(recv, fn reflect.Value, kind wire.Kind, lay *layout) Invoke {
	return func(ctx context.Context, c *Call) error {
		in, err := c.Input()
		if err != nil {
			return err
		}
		args := make([]reflect.Value, 3, 3+max(1, len(lay.fields)))
		args[0], args[1], args[2] = recv, reflect.ValueOf(ctx), reflect.ValueOf(c.conn)
		switch p := reflect.ValueOf(in).Elem(); lay.shape {
		case single:
			args = append(args, p)
		case fields:
			for i := range lay.fields {
				args = append(args, p.Field(i))
			}
		}
		out := fn.Call(args)
		if kind.Streams() {
			return stream(ctx, c, reflectSeq(out[0]))
		}
		if err, _ := out[len(out)-1].Interface().(error); err != nil {
			return err
		}
		if len(out) == 2 {
			c.result = resultOf(out[0].Interface())
		}
		return nil
	}
}

// reflectSeq is a method's stream.
func reflectSeq(seq reflect.Value) iter.Seq2[any, error] {
	if seq.IsNil() {
		return nil
	}
	return func(yield func(any, error) bool) {
		for v, e := range seq.Seq2() {
			err, _ := e.Interface().(error)
			if !yield(v.Interface(), err) {
				return
			}
		}
	}
}

// bindSeq makes an iter.Seq2 of an uploaded stream, whose type only the method
// knows.
func bindSeq(ctx context.Context, field reflect.Value, item reflect.Type, src wire.Source) {
	nilError := reflect.Zero(errorType)
	field.Set(reflect.MakeFunc(field.Type(), func(args []reflect.Value) []reflect.Value {
		yield := args[0]
		for {
			v := reflect.New(item)
			switch err := src.Next(ctx, v.Interface()); {
			case err == io.EOF:
				return nil
			case err != nil:
				yield.Call([]reflect.Value{reflect.Zero(item), reflect.ValueOf(&err).Elem()})
				return nil
			}
			if !yield.Call([]reflect.Value{v.Elem(), nilError})[0].Bool() {
				return nil
			}
		}
	}))
}
