package dotnet_test

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/hubwire/hubwire/dotnet"
	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

type spot struct {
	X int `json:"x"`
	Y int `json:"y"`
}

var types = map[string]reflect.Type{
	"null": reflect.TypeFor[any](), "System.Boolean": reflect.TypeFor[bool](), "System.Int64": reflect.TypeFor[int64](), "System.UInt64": reflect.TypeFor[uint64](), "System.SByte": reflect.TypeFor[int8](), "System.Byte": reflect.TypeFor[uint8](),
	"System.Int16": reflect.TypeFor[int16](), "System.UInt16": reflect.TypeFor[uint16](), "System.Int32": reflect.TypeFor[int32](), "System.Double": reflect.TypeFor[float64](), "System.Single": reflect.TypeFor[float32](), "System.String": reflect.TypeFor[string](),
	"System.Byte[]": reflect.TypeFor[[]byte](), "System.Memory`1[System.Byte]": reflect.TypeFor[[]byte](), "System.SByte[]": reflect.TypeFor[[]int8](), "System.DateTime": reflect.TypeFor[time.Time](), "System.DateTimeOffset": reflect.TypeFor[dotnet.DateTimeOffset](),
	"System.Guid": reflect.TypeFor[dotnet.Guid](), "System.Int32[]": reflect.TypeFor[[]int](), "System.Collections.Generic.List`1[System.String]": reflect.TypeFor[[]*string](), "Spot": reflect.TypeFor[spot](),
	"System.Collections.Generic.Dictionary`2[System.String,System.Int32]": reflect.TypeFor[map[string]int](), "System.Collections.Generic.Dictionary`2[System.Int32,System.String]": reflect.TypeFor[map[int]string](),
}

// TestValues has what SignalR's protocol classes in .NET write for values of
// many types: it is read, and written again, in both protocols.
func TestValues(t *testing.T) {
	f, err := os.Open("testdata/values.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for in := bufio.NewScanner(f); in.Scan(); lines++ {
		var c struct{ Type, JSON, Messagepack string }
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		src, err := hex.DecodeString(c.Messagepack)
		if err != nil {
			t.Fatal(err)
		}
		p := reflect.New(types[c.Type])
		if err := (msgpack.Codec{}).Decode(src, p.Interface()); err != nil {
			t.Errorf("%s %s: %v", c.Type, c.Messagepack, err)
			continue
		}
		if out, err := (msgpack.Codec{}).Append(nil, p.Elem().Interface()); err != nil || hex.EncodeToString(out) != c.Messagepack {
			t.Errorf("%s: %x, %v, want %s", c.Type, out, err, c.Messagepack)
		}
		out, err := jsonwire.Codec{}.Append(nil, p.Elem().Interface())
		switch {
		case c.Type == "System.DateTime" && c.JSON[len(c.JSON)-2] != 'Z': // of no zone, which a time.Time cannot be
			continue
		case c.JSON == "": // NaN and infinity
			if err == nil {
				t.Errorf("%s %s: written as %s", c.Type, c.Messagepack, out)
			}
			continue
		case err != nil || !sameJSON(out, []byte(c.JSON)):
			t.Errorf("%s: %s, %v, want %s", c.Type, out, err, c.JSON)
		}
		q := reflect.New(types[c.Type])
		if err := (jsonwire.Codec{}).Decode([]byte(c.JSON), q.Interface()); err != nil || !sameValue(p.Elem(), q.Elem()) {
			t.Errorf("%s: %s is %v, %v, want %v", c.Type, c.JSON, q.Elem(), err, p.Elem())
		}
	}
	if lines < 70 {
		t.Error("only", lines, "lines")
	}
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// sameValue compares times by what they say, not by their locations.
func sameValue(a, b reflect.Value) bool {
	if d, ok := a.Interface().(dotnet.DateTimeOffset); ok {
		return d.String() == b.Interface().(dotnet.DateTimeOffset).String()
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}
