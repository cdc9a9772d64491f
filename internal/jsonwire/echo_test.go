package jsonwire_test

import (
	"bufio"
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/hubwire/hubwire/dotnet"
)

// A hubPerson is Person of the conformance hub: what is absent has .NET's
// defaults, what is null is null.
type hubPerson struct {
	Name *string   `json:"name"`
	Age  int32     `json:"age"`
	Tags []*string `json:"tags"`
	Nick *string   `json:"nick"`
}

func (p *hubPerson) UnmarshalJSON(src []byte) error {
	type plain hubPerson
	*p = hubPerson{Name: new(string), Tags: []*string{}}
	return codec.Decode(src, (*plain)(p))
}

var echoes = map[string]reflect.Type{
	"EchoString": reflect.TypeFor[*string](), "EchoNullable": reflect.TypeFor[*string](), "EchoInt": reflect.TypeFor[int32](), "EchoLong": reflect.TypeFor[int64](),
	"EchoDouble": reflect.TypeFor[float64](), "EchoBool": reflect.TypeFor[bool](), "EchoBytes": reflect.TypeFor[[]byte](), "EchoTime": reflect.TypeFor[dotnet.DateTimeOffset](), "EchoGuid": reflect.TypeFor[dotnet.Guid](),
	"EchoPerson": reflect.TypeFor[*hubPerson](), "EchoPeople": reflect.TypeFor[[]*hubPerson](), "EchoMap": reflect.TypeFor[map[string]int32](),
}

// TestEcho has the arguments that were sent to ASP.NET Core and what came back:
// a result, nothing (it did not bind), or the end of the connection (it could
// not be written).
func TestEcho(t *testing.T) {
	old := time.Local
	time.Local = time.UTC // as the server's was
	defer func() { time.Local = old }()
	f, err := os.Open("testdata/echo.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for in := bufio.NewScanner(f); in.Scan(); lines++ {
		var c struct {
			Method, Arg string
			Result      *string
			Unwritable  bool
		}
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		p := reflect.New(echoes[c.Method])
		err := codec.Decode([]byte(c.Arg), p.Interface())
		if (err == nil) != (c.Result != nil || c.Unwritable) {
			t.Errorf("%s(%s): %v", c.Method, c.Arg, err)
		}
		if err != nil {
			continue
		}
		out, err := codec.Append(nil, p.Elem().Interface())
		if c.Unwritable {
			if err == nil {
				t.Errorf("%s(%s): written as %s", c.Method, c.Arg, out)
			}
			continue
		}
		if err != nil || string(out) != *c.Result && !sameJSON(out, []byte(*c.Result)) {
			t.Errorf("%s(%s): %s, %v, want %s", c.Method, c.Arg, out, err, *c.Result)
		}
	}
	if lines < 100 {
		t.Error("only", lines, "lines")
	}
}

// sameJSON compares values: the forms of floats and of escapes may differ.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
