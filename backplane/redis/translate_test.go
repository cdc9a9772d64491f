package redis_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/jsonrpc"
	"github.com/hubwire/hubwire/sse"
)

// Events of ASP.NET Core, which are in SignalR's protocols alone, reach
// connections of other wires, in whatever protocols they come.
func TestTranslate(t *testing.T) {
	s := startRedis(t)
	admin := s.admin(t)
	hub := hubwire.New(&hubwire.Options{Name: "Interop.ChatHub", Backplane: node(s.addr)})
	mux := http.NewServeMux()
	sse.Mount(mux, "/sse", hub, nil)
	jsonrpc.Mount(mux, "/rpc", hub, nil)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		_ = hub.Shutdown(context.Background())
		server.CloseClientConnections()
		server.Close()
	})
	got := make(chan sse.Event[string])
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		for ev, err := range sse.NewClient(server.URL+"/sse", &sse.ClientOptions{Reconnect: sse.Never}).Events(ctx) {
			if err != nil {
				return
			}
			select {
			case got <- ev:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-got // hubwire:open
	json := `{"type":1,"target":"Receive","arguments":["ü",1,1.5,{"a":[null,true]},9007199254740993]}` + "\x1e"
	pack := "\x14\x96\x01\x80\xc0\xa7Receive\x93\xa3p\xc3\xbc\x07\xc0\x90"
	for _, test := range []struct{ payload, want string }{
		{"\x92\x90\x81\xa4json\xc4" + string(rune(len(json))) + json, `["ü",1,1.5,{"a":[null,true]},9007199254740993]`},
		{"\x92\x90\x81\xabmessagepack\xc4\x15" + pack, `["pü",7,null]`},
		{"\x92\x90\x82\xabmessagepack\xc4\x15" + pack + "\xa4json\xc4" + string(rune(len(json))) + json, `["pü",7,null]`},
	} {
		// What is no event, or cannot be read, is passed over.
		for _, bad := range []string{"\x92\x90\x81\xa4json\xc4\x0b{\"type\":6}\x1e", "\x92\x90\x81\xa4json\xc4\x02{}", "\x92\x90\x81\xabmessagepack\xc4\x01x", "\x92\x90\x80"} {
			do(t, admin, "PUBLISH", "Interop.ChatHub:all", bad)
		}
		do(t, admin, "PUBLISH", "Interop.ChatHub:all", test.payload)
		select {
		case ev := <-got:
			if ev.Type != "Receive" || ev.Data != test.want {
				t.Errorf("got %s %s, want %s", ev.Type, ev.Data, test.want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s does not come", test.want)
		}
	}
}
