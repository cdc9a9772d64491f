package hubwire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"strings"
	"sync"

	"github.com/hubwire/hubwire/wire"
)

// None is the payload of a name without arguments, or the result null.
type None = struct{}

// Args, embedded first in a struct, makes its fields the positional arguments,
// in order (and, where a wire has them, the named ones: the json name, else the
// field's). All other fields must be exported.
//
//	type Add struct {
//		hubwire.Args
//		A, B int
//	}
//	const Sum hubwire.Method[Add, int] = "Sum" // Sum(1, 2)
type Args struct{}

// A Stream is an uploaded stream, as a field of an Args struct: it ranges like
// an iter.Seq2 and may be ranged over once. A Stream takes no place among the
// arguments.
type Stream[T any] func(yield func(T, error) bool)

// An Opt is an argument that may be absent, as a trailing field of an Args
// struct. Null is not absent.
type Opt[T any] struct {
	Value T
	Set   bool
}

// Some is an Opt that is set.
func Some[T any](v T) Opt[T] { return Opt[T]{v, true} }

// A List is a payload whose arguments are known only at run time. A received
// List holds what the wire's codec gives for any.
type List []any

// streamField and optField are how the layout reaches the type parameter of a
// Stream or an Opt.
type streamField interface {
	bindStream(ctx context.Context, src wire.Source)
	items() iter.Seq2[any, error]
}

type optField interface {
	target() any // a pointer to Value, with Set set
	value() (any, bool)
}

func (s *Stream[T]) bindStream(ctx context.Context, src wire.Source) {
	*s = Stream[T](sourceSeq[T](ctx, src))
}

func (s *Stream[T]) items() iter.Seq2[any, error] { return anySeq(iter.Seq2[T, error](*s)) }

func (o *Opt[T]) target() any { o.Set = true; return &o.Value }

func (o *Opt[T]) value() (any, bool) { return o.Value, o.Set }

// sourceSeq is the items of an uploaded stream. An error is always the last.
func sourceSeq[T any](ctx context.Context, src wire.Source) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			var v T
			switch err := src.Next(ctx, &v); {
			case err == io.EOF:
				return
			case err != nil:
				var zero T
				yield(zero, err)
				return
			case !yield(v, nil):
				return
			}
		}
	}
}

func anySeq[T any](seq iter.Seq2[T, error]) iter.Seq2[any, error] {
	return func(yield func(any, error) bool) {
		if seq == nil {
			return
		}
		for v, err := range seq {
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

type shape uint8

const (
	single shape = iota // one argument
	none                // no argument
	list                // List
	fields              // an Args struct
)

// A layout says how a payload type becomes arguments. It is worked out once for
// each type.
type layout struct {
	shape    shape
	fields   []argField
	plain    int // arguments at most
	required int // arguments at least
	streams  int
	names    []string // of the plain arguments; nil where they have none
	places   []int    // where among all arguments the streams stand
	unnamed  bool     // of a method, whose parameters have no names
}

type argField struct {
	index  int
	name   string
	stream bool
	item   reflect.Type // of a stream that is no Stream but an iter.Seq2
	opt    bool
}

// bindStream attaches an upload to the field of a stream.
func (f *argField) bindStream(ctx context.Context, field reflect.Value, src wire.Source) {
	if f.item != nil {
		bindSeq(ctx, field, f.item, src)
		return
	}
	field.Addr().Interface().(streamField).bindStream(ctx, src)
}

var (
	argsType = reflect.TypeFor[Args]()
	noneType = reflect.TypeFor[None]()
	listType = reflect.TypeFor[List]()

	streamIface = reflect.TypeFor[streamField]()
	optIface    = reflect.TypeFor[optField]()
)

type layoutEntry struct {
	lay *layout
	err error
}

var layouts sync.Map // reflect.Type -> *layoutEntry

func layoutOf(t reflect.Type) (*layout, error) {
	e, ok := layouts.Load(t)
	if !ok {
		lay, err := newLayout(t)
		e, _ = layouts.LoadOrStore(t, &layoutEntry{lay, err})
	}
	entry := e.(*layoutEntry)
	return entry.lay, entry.err
}

func newLayout(t reflect.Type) (*layout, error) {
	switch {
	case t == noneType:
		return &layout{shape: none}, nil
	case t == listType:
		return &layout{shape: list}, nil
	case t.Kind() != reflect.Struct || t.NumField() == 0 || !t.Field(0).Anonymous || t.Field(0).Type != argsType:
		if err := checkValue(t, nil); err != nil {
			return nil, fmt.Errorf("%v: %w", t, err)
		}
		return &layout{shape: single, plain: 1, required: 1}, nil
	}
	lay := &layout{shape: fields}
	for i := 1; i < t.NumField(); i++ {
		f := t.Field(i)
		if !f.IsExported() {
			return nil, fmt.Errorf("%v: field %s is not exported; every field of an Args struct is an argument", t, f.Name)
		}
		a := argField{index: i, name: argName(f)}
		p := reflect.PointerTo(f.Type)
		switch {
		case p.Implements(streamIface) && f.Type.Kind() == reflect.Func:
			a.stream = true
			lay.streams++
			if err := checkValue(f.Type.In(0).In(0), nil); err != nil {
				return nil, fmt.Errorf("%v: field %s: %w", t, f.Name, err)
			}
		case p.Implements(optIface) && f.Type.Field(0).Name == "Value":
			a.opt = true
			lay.plain++
			if err := checkValue(f.Type.Field(0).Type, nil); err != nil {
				return nil, fmt.Errorf("%v: field %s: %w", t, f.Name, err)
			}
		default:
			if lay.plain > lay.required {
				return nil, fmt.Errorf("%v: field %s follows an Opt; only trailing arguments may be absent", t, f.Name)
			}
			lay.plain++
			lay.required++
			if err := checkValue(f.Type, nil); err != nil {
				return nil, fmt.Errorf("%v: field %s: %w", t, f.Name, err)
			}
		}
		if a.stream {
			lay.places = append(lay.places, len(lay.fields))
		} else {
			lay.names = append(lay.names, a.name)
		}
		lay.fields = append(lay.fields, a)
	}
	return lay, nil
}

func argName(f reflect.StructField) string {
	if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
		return name
	}
	return f.Name
}

// checkValue refuses Args, Stream and Opt inside of values (D 1).
func checkValue(t reflect.Type, seen map[reflect.Type]bool) error {
	if seen[t] {
		return nil
	}
	switch {
	case t == argsType:
		return errors.New("hubwire.Args must be embedded first, in the payload itself")
	case reflect.PointerTo(t).Implements(streamIface):
		return errors.New("a hubwire.Stream must be a field of an Args struct")
	case reflect.PointerTo(t).Implements(optIface):
		return errors.New("a hubwire.Opt must be a field of an Args struct")
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map, reflect.Struct:
	default:
		return nil
	}
	if seen == nil {
		seen = map[reflect.Type]bool{}
	}
	seen[t] = true
	if t.Kind() == reflect.Struct {
		for f := range t.Fields() {
			if err := checkValue(f.Type, seen); err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
		}
		return nil
	}
	if t.Kind() == reflect.Map {
		if err := checkValue(t.Key(), seen); err != nil {
			return err
		}
	}
	return checkValue(t.Elem(), seen)
}

// errBind is .NET's text for arguments of the wrong type; wires show it under
// DetailedErrors. The codec's own words go to the log.
var errBind = errors.New("Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked.")

// A bindError is a binding failure: a text for the client, a reason for the log.
type bindError struct{ text, reason error }

func (e *bindError) Error() string { return e.text.Error() }
func (e *bindError) Unwrap() error { return e.reason }

func errCount(got, want int) error {
	return fmt.Errorf("Invocation provides %d argument(s) but target expects %d.", got, want)
}

// bind decodes v into the payload that in points to and attaches the uploads.
// Every error but that of a wrong number of streams is about the arguments.
func (l *layout) bind(ctx context.Context, in any, v *wire.Values, ups []wire.Source) error {
	if v.Err != nil {
		return v.Err
	}
	if v.Named != nil && l.shape == fields && !l.unnamed {
		return l.bindNamed(ctx, in, v, ups)
	}
	n := len(v.List)
	switch l.shape {
	case none:
		if n != 0 {
			return errCount(n, 0)
		}
		return nil
	case single:
		if n != 1 {
			return errCount(n, 1)
		}
		if err := v.Codec.Decode(v.List[0], in); err != nil {
			return &bindError{errBind, err}
		}
		return nil
	case list:
		return bindList(in.(*List), v)
	}
	return l.bindFields(ctx, in, v, ups)
}

func bindList(in *List, v *wire.Values) error {
	out := make(List, len(v.List))
	for i, src := range v.List {
		if err := v.Codec.Decode(src, &out[i]); err != nil {
			return &bindError{errBind, err}
		}
	}
	*in = out
	return nil
}

func (l *layout) bindFields(ctx context.Context, in any, v *wire.Values, ups []wire.Source) error {
	n := len(v.List)
	if n > l.plain || n < l.required {
		return errCount(n, l.plain)
	}
	s := reflect.ValueOf(in).Elem()
	var at, up int
	for i := range l.fields {
		f := &l.fields[i]
		if f.stream {
			if up < len(ups) { // the number is checked by the caller
				f.bindStream(ctx, s.Field(f.index), ups[up])
			}
			up++
			continue
		}
		if at == n {
			continue // an Opt that is absent; streams may follow
		}
		p := s.Field(f.index).Addr().Interface()
		if f.opt {
			p = p.(optField).target()
		}
		if err := v.Codec.Decode(v.List[at], p); err != nil {
			return &bindError{errBind, fmt.Errorf("argument %d: %w", at, err)}
		}
		at++
	}
	return nil
}

func (l *layout) bindNamed(ctx context.Context, in any, v *wire.Values, ups []wire.Source) error {
	s := reflect.ValueOf(in).Elem()
	var found, up int
	for i := range l.fields {
		f := &l.fields[i]
		if f.stream {
			if up < len(ups) {
				f.bindStream(ctx, s.Field(f.index), ups[up])
			}
			up++
			continue
		}
		src, ok := v.Named[f.name]
		switch {
		case ok:
			found++
		case f.opt:
			continue
		default:
			return &bindError{errBind, fmt.Errorf("argument %q is missing", f.name)}
		}
		p := s.Field(f.index).Addr().Interface()
		if f.opt {
			p = p.(optField).target()
		}
		if err := v.Codec.Decode(src, p); err != nil {
			return &bindError{errBind, fmt.Errorf("argument %q: %w", f.name, err)}
		}
	}
	if found != len(v.Named) {
		return &bindError{errBind, fmt.Errorf("%d argument(s) have names that the method does not know", len(v.Named)-found)}
	}
	return nil
}

// split appends the arguments of the payload in to args, and its streams to
// ups. in is the payload itself.
func (l *layout) split(in any, args []any, ups []iter.Seq2[any, error]) ([]any, []iter.Seq2[any, error], error) {
	switch l.shape {
	case none:
		return args, ups, nil
	case single:
		return append(args, in), ups, nil
	case list:
		return append(args, in.(List)...), ups, nil
	}
	absent := ""
	s := reflect.New(reflect.TypeOf(in)).Elem() // addressable
	s.Set(reflect.ValueOf(in))
	for _, f := range l.fields {
		v := s.Field(f.index)
		switch {
		case f.stream:
			ups = append(ups, v.Addr().Interface().(streamField).items())
		case f.opt:
			x, set := v.Addr().Interface().(optField).value()
			switch {
			case !set:
				absent = f.name
			case absent != "":
				return args, ups, fmt.Errorf("argument %q is absent, but %q is not", absent, f.name)
			default:
				args = append(args, x)
			}
		default:
			args = append(args, v.Interface())
		}
	}
	return args, ups, nil
}
