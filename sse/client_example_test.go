package sse_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/sse"
)

// A client reads a stream until it is told to stop, across reconnections.
func ExampleClient() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		switch r.Header.Get("Last-Event-ID") {
		case "":
			fmt.Fprint(w, "retry: 100\nid: 1\ndata: one\n\n")
		case "1":
			fmt.Fprint(w, "id: 2\ndata: two\n\n")
		default:
			w.WriteHeader(http.StatusNoContent) // no more
		}
	}))
	defer server.Close()

	client := sse.NewClient(server.URL, nil)
	for ev, err := range client.Events(context.Background()) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(ev.ID, ev.Data)
	}
	// Output:
	// 1 one
	// 2 two
}

// The answer of a language model: a POST, typed chunks, and a last event that says
// so.
func ExampleDecode() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, `data: {"text":"Hel"}`+"\n\n"+`data: {"text":"lo"}`+"\n\n"+"data: [DONE]\n\n")
	}))
	defer server.Close()

	client := sse.NewClient(server.URL, &sse.ClientOptions{
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   []byte(`{"prompt":"Say hello","stream":true}`),
		End:    func(ev sse.Event[string]) bool { return ev.Data == "[DONE]" },
	})
	type chunk struct{ Text string }
	for ev, err := range sse.Decode[chunk](client.Events(context.Background())) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(ev.Data.Text)
	}
	fmt.Println()
	// Output: Hello
}

// A hub for EventSource and fetch, at the side of its other wires.
func ExampleMount() {
	type Message struct {
		User string `json:"user"`
		Text string `json:"text"`
	}
	const (
		Send     hubwire.Command[Message] = "Send"
		Received hubwire.Event[Message]   = "ReceiveMessage"
	)
	hub := hubwire.New(nil)
	hub.Handle(Send.With(func(ctx context.Context, c *hubwire.Conn, m Message) error {
		return Received.Send(ctx, c.Hub().All(), m)
	}))
	mux := http.NewServeMux()
	sse.Mount(mux, "/chat/sse", hub, nil)
	server := httptest.NewServer(mux)
	defer server.Close()

	client := sse.NewClient(server.URL+"/chat/sse", nil)
	for ev, err := range client.Events(context.Background()) {
		switch {
		case err != nil:
			fmt.Println(err)
			return
		case ev.Type == "hubwire:open": // we are in
			post(server.URL+"/chat/sse/Send", `[{"user":"ann","text":"hello"}]`)
			continue
		}
		fmt.Println(ev.Type, ev.Data)
		break
	}
	// Output: ReceiveMessage [{"user":"ann","text":"hello"}]
}

func post(url, body string) {
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		fmt.Println(err)
		return
	}
	resp.Body.Close()
}
