package msgpack_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/hubwire/hubwire/dotnet"
)

// A hubPerson is Person of the conformance hub: what is absent has .NET's
// defaults, what is nil is nil.
type hubPerson struct {
	Name *string
	Age  int32
	Tags []*string
	Nick *string
}

func (p *hubPerson) DecodeMsgpack(src []byte) error {
	type plain hubPerson
	*p = hubPerson{Name: new(string), Tags: []*string{}}
	return codec.Decode(src, (*plain)(p))
}

var echoes = map[string]reflect.Type{
	"EchoString": reflect.TypeFor[*string](), "EchoNullable": reflect.TypeFor[*string](), "EchoInt": reflect.TypeFor[int32](), "EchoLong": reflect.TypeFor[int64](),
	"EchoDouble": reflect.TypeFor[float64](), "EchoBool": reflect.TypeFor[bool](), "EchoBytes": reflect.TypeFor[[]byte](), "EchoTime": reflect.TypeFor[dotnet.DateTimeOffset](), "EchoGuid": reflect.TypeFor[dotnet.Guid](),
	"EchoPerson": reflect.TypeFor[*hubPerson](), "EchoPeople": reflect.TypeFor[[]*hubPerson](), "EchoMap": reflect.TypeFor[map[string]int32](),
}

// TestEcho has the arguments that were sent to ASP.NET Core and what came back,
// nothing where it did not bind. (Maps come back sorted here, in .NET as they
// were.)
func TestEcho(t *testing.T) {
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
		}
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		p := reflect.New(echoes[c.Method])
		err := codec.Decode(unhex(t, c.Arg), p.Interface())
		if (err == nil) != (c.Result != nil) {
			t.Errorf("%s(%s): %v", c.Method, c.Arg, err)
		}
		if err != nil {
			continue
		}
		want := *c.Result
		if want == "82a16201a16102" {
			want = "82a16102a16201"
		}
		if out, err := codec.Append(nil, p.Elem().Interface()); err != nil || hex.EncodeToString(out) != want {
			t.Errorf("%s(%s): %x, %v, want %s", c.Method, c.Arg, out, err, want)
		}
	}
	if lines < 100 {
		t.Error("only", lines, "lines")
	}
}
