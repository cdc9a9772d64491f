package jsonrpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
)

type (
	treeNode struct {
		Name  string              `json:"name"`
		Kids  []*treeNode         `json:"kids,omitempty"`
		At    time.Time           `json:"at"`
		Meta  map[string]any      `json:"meta"`
		Bytes []byte              `json:"bytes,omitempty"`
		Pair  [2]uint8            `json:"pair"`
		Next  *treeNode           `json:"next"`
		Raw   json.RawMessage     `json:"raw"`
		Took  time.Duration       `json:"took"`
		Any   struct{ X float64 } `json:"any"`
		skip  int
	}
	findArgs struct {
		hubwire.Args
		Text  string               `json:"text"`
		Limit hubwire.Opt[int]     `json:"limit"`
		More  hubwire.Stream[bool] `json:"more"`
	}
)

type structHub struct{}

func (structHub) Scale(_ context.Context, _ *hubwire.Conn, x float64, by float64) (float64, error) {
	return x * by, nil
}

// describedHub has a method of each kind.
func describedHub() *hubwire.Hub {
	hub := hubwire.New(&hubwire.Options{Name: "tree"})
	hub.Handle(
		hubwire.Method[findArgs, *treeNode]("Find").With(func(context.Context, *hubwire.Conn, findArgs) (*treeNode, error) { return nil, nil }),
		hubwire.Command[treeNode]("Grow").With(func(context.Context, *hubwire.Conn, treeNode) error { return nil }),
		hubwire.Command[hubwire.None]("Cut").With(func(context.Context, *hubwire.Conn, hubwire.None) error { return nil }),
		hubwire.ServerStream[int, string]("Leaves").With(func(context.Context, *hubwire.Conn, int) iter.Seq2[string, error] { return nil }),
		hubwire.Method[hubwire.List, any]("Any").With(func(context.Context, *hubwire.Conn, hubwire.List) (any, error) { return nil, nil }),
	)
	hub.Handle(hubwire.Methods(structHub{}, nil)...)
	return hub
}

func TestDiscover(t *testing.T) {
	for _, r := range []struct {
		opts *jsonrpc.Options
		want string
	}{
		{nil, `"error":{"code":-32601`},
		{&jsonrpc.Options{Discover: &jsonrpc.Info{}}, `"info":{"title":"tree","version":"0"}`},
		{&jsonrpc.Options{Discover: &jsonrpc.Info{Title: "a", Version: "1.2", Description: "b"}}, `"info":{"title":"a","version":"1.2","description":"b"}`},
	} {
		h := jsonrpc.Handler(describedHub(), &jsonrpc.MountOptions{Conn: r.opts})
		for _, id := range []string{`,"id":1`, ""} {
			got := bodyOf(t, postTo(t, h, `{"jsonrpc":"2.0","method":"rpc.discover"`+id+`}`))
			if (id == "") != (got == "") || !strings.Contains(got, r.want) && id != "" {
				t.Errorf("%+v: %s", r.opts, got)
			}
		}
	}
	h := jsonrpc.Handler(describedHub(), &jsonrpc.MountOptions{Conn: &jsonrpc.Options{Discover: &jsonrpc.Info{}, Names: func(name string) []string {
		switch name {
		case "Cut":
			return nil
		case "Any":
			return []string{"any", "anything"}
		}
		return []string{name}
	}}})
	var answer struct {
		Result struct {
			OpenRPC    string `json:"openrpc"`
			Methods    []map[string]any
			Components struct{ Schemas map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(bodyOf(t, postTo(t, h, `{"jsonrpc":"2.0","id":1,"method":"rpc.discover","params":[]}`))), &answer); err != nil {
		t.Fatal(err)
	}
	if answer.Result.OpenRPC != "1.3.2" {
		t.Errorf("openrpc: %s", answer.Result.OpenRPC)
	}
	want := map[string]string{
		"Find": `{"name":"Find","paramStructure":"either","params":[{"name":"text","required":true,"schema":{"type":"string"}},{"name":"limit","schema":{"type":"integer"}},
			{"name":"more","required":true,"x-stream":true,"schema":{"type":"object","properties":{"token":{"description":"for $/enumerator/next; absent where values are all"},"values":{"type":"array","items":{"type":"boolean"}}}}}],
			"result":{"name":"result","schema":{"anyOf":[{"$ref":"#/components/schemas/treeNode"},{"type":"null"}]}}}`,
		"Leaves": `{"name":"Leaves","paramStructure":"by-position","params":[{"name":"arg1","required":true,"schema":{"type":"integer"}}],
			"result":{"name":"result","x-stream":true,"schema":{"type":"object","properties":{"token":{"description":"for $/enumerator/next; absent where values are all"},"values":{"type":"array","items":{"type":"string"}}}}}}`,
		"any":      `{"name":"any","paramStructure":"by-position","params":[{"name":"arguments","schema":{}}],"result":{"name":"result","schema":{}}}`,
		"anything": `{"name":"anything","paramStructure":"by-position","params":[{"name":"arguments","schema":{}}],"result":{"name":"result","schema":{}}}`,
		"Scale": `{"name":"Scale","paramStructure":"by-position","params":[{"name":"arg1","required":true,"schema":{"type":"number"}},{"name":"arg2","required":true,"schema":{"type":"number"}}],
			"result":{"name":"result","schema":{"type":"number"}}}`,
	}
	for _, m := range answer.Result.Methods {
		name := fmt.Sprint(m["name"])
		switch name {
		case "Grow":
			var names []string
			for _, p := range m["params"].([]any) {
				names = append(names, p.(map[string]any)["name"].(string))
			}
			if got := strings.Join(names, " "); m["paramStructure"] != "by-name" || got != "name kids at meta bytes pair next raw took any" {
				t.Errorf("Grow: %v", m)
			}
			continue
		}
		var w map[string]any
		if err := json.Unmarshal([]byte(want[name]), &w); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(m, w) {
			t.Errorf("%s: %v\nwant %v", name, m, w)
		}
		delete(want, name)
	}
	if len(want) != 0 {
		t.Errorf("there is no %v", want)
	}
	node := `{"type":"object","required":["name","at","meta","pair","raw","took","any"],"properties":{"name":{"type":"string"},
		"kids":{"type":["array","null"],"items":{"anyOf":[{"$ref":"#/components/schemas/treeNode"},{"type":"null"}]}},
		"at":{"type":"string","format":"date-time"},"meta":{"type":["object","null"],"additionalProperties":{}},
		"bytes":{"type":["string","null"],"contentEncoding":"base64"},"pair":{"type":"array","items":{"type":"integer","minimum":0},"minItems":2,"maxItems":2},
		"next":{"anyOf":[{"$ref":"#/components/schemas/treeNode"},{"type":"null"}]},"raw":{},"took":{"type":"integer","description":"nanoseconds"},
		"any":{"type":"object","properties":{"X":{"type":"number"}},"required":["X"]}}}`
	var w any
	if err := json.Unmarshal([]byte(node), &w); err != nil {
		t.Fatal(err)
	}
	if got := answer.Result.Components.Schemas["treeNode"]; !reflect.DeepEqual(got, w) || len(answer.Result.Components.Schemas) != 1 {
		t.Errorf("%v\nwant %v", answer.Result.Components.Schemas, w)
	}
}

func ExampleInfo() {
	type pair struct {
		hubwire.Args
		A int `json:"a"`
		B int `json:"b"`
	}
	hub := hubwire.New(nil)
	hub.Handle(hubwire.Method[pair, int]("add").With(func(_ context.Context, _ *hubwire.Conn, p pair) (int, error) { return p.A + p.B, nil }))

	h := jsonrpc.Handler(hub, &jsonrpc.MountOptions{Conn: &jsonrpc.Options{Discover: &jsonrpc.Info{Title: "Sums", Version: "1"}}})

	r := httptest.NewRequest("POST", "/", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var answer struct{ Result json.RawMessage }
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	fmt.Println(string(answer.Result))
	// Output:
	// {"openrpc":"1.3.2","info":{"title":"Sums","version":"1"},"methods":[{"name":"add","paramStructure":"either","params":[{"name":"a","required":true,"schema":{"type":"integer"}},{"name":"b","required":true,"schema":{"type":"integer"}}],"result":{"name":"result","schema":{"type":"integer"}}}],"components":{}}
}
