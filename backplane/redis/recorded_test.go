package redis_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/wire"
	"github.com/redis/rueidis"
)

// An injection is a payload that was published by hand to nodes of ASP.NET Core,
// and what came of it.
type injection struct {
	Name, Channel, Hex string
	Conns              map[string]string
	Received           map[string][]string
	Published          [][2]string
}

// differs are the injections that ours answers otherwise, and why.
var differs = map[string]string{
	"all: payloads empty map":                                      "a connection whose blob is missing is not closed",
	"all: payloads only of an unknown protocol":                    "likewise",
	"all: names in other case (JSON, MessagePack)":                 "likewise",
	"all: json only":                                               "translated for messagepack clients, which .NET closes",
	"all: messagepack only":                                        "translated for json clients, which .NET closes",
	"group: json only":                                             "likewise",
	"user: no blob for the client's protocol":                      "likewise",
	"connection: no blob for the client's protocol":                "likewise",
	"connection: client result, no blob for the client's protocol": "likewise",
	"all: json blob without 0x1e":                                  "the recording has whole messages alone",
	"all: json blob is a ping":                                     "the recording has no pings",
}

// A recorder is a connection that keeps what it is sent.
type recorder struct {
	protocol protoName
	mu       sync.Mutex
	got      []byte
}

type protoName string

func (p protoName) Name() string      { return string(p) }
func (p protoName) Codec() wire.Codec { return nil }
func (p protoName) AppendEvent(dst []byte, name, callID string, args [][]byte) ([]byte, error) {
	return append(dst, name...), nil
}
func (p protoName) Protocol() wire.Protocol { return p }
func (p protoName) Append(dst []byte, recs []wire.Record) []byte {
	for _, r := range recs {
		dst = append(dst, r.Bytes...)
	}
	return dst
}

func (r *recorder) Framing() wire.Framing { return r.protocol }
func (r *recorder) TryWrite(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, p...)
	return len(p), nil
}
func (r *recorder) Write(p []byte) error { _, err := r.TryWrite(p); return err }
func (r *recorder) Close(error, bool)    {}

const lastWord = "6c617374"

// take is what came before the last word.
func (r *recorder) take(t *testing.T) []byte {
	t.Helper()
	last, _ := hex.DecodeString(lastWord)
	deadline := time.Now().Add(20 * time.Second)
	for {
		r.mu.Lock()
		if bytes.HasSuffix(r.got, last) {
			got := bytes.TrimSuffix(r.got, last)
			r.got = nil
			r.mu.Unlock()
			return got
		}
		r.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatal("the node does not serve the message that follows")
		}
		time.Sleep(time.Millisecond)
	}
}

// Payloads published by hand reach clients as they reached those of ASP.NET Core,
// commands are acknowledged alike, and whatever came the next message is served.
func TestInjections(t *testing.T) {
	b, err := os.ReadFile("testdata/injections.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []injection
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	s := startRedis(t)
	admin := s.admin(t)
	type client struct {
		*recorder
		port *hubwire.Port
		id   string
	}
	if len(all) < 100 {
		t.Fatalf("%d injections", len(all))
	}
	for _, inj := range all {
		t.Run(inj.Name, func(t *testing.T) {
			hub := hubwire.New(&hubwire.Options{Name: "Interop.ChatHub", Backplane: node(s.addr)})
			hub.Expose(protoName("json"), protoName("messagepack"))
			clients := map[string]*client{}
			for name, id := range inj.Conns {
				c := &client{recorder: &recorder{protocol: "json"}, id: id}
				user := ""
				switch name {
				case "bj":
					user = "alice"
				case "bm":
					c.protocol, user = "messagepack", "bob"
				}
				port, err := hub.Open(context.Background(), c.recorder, id, &hubwire.User{ID: user}, &hubwire.Request{Wire: "test"})
				if err != nil {
					t.Fatal(err)
				}
				c.port = port
				clients[name] = c
				if err := port.Conn().Join(t.Context(), "room"); err != nil {
					t.Fatal(err)
				}
			}
			payload, _ := hex.DecodeString(inj.Hex)
			acks := make(chan string, 16)
			sub, release := admin.Dedicate()
			defer release()
			sub.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: func(m rueidis.PubSubMessage) { acks <- m.Channel + " " + hex.EncodeToString([]byte(m.Message)) }})
			if err := sub.Do(t.Context(), sub.B().Psubscribe().Pattern("*:internal:ack:*").Build()).Error(); err != nil {
				t.Fatal(err)
			}
			for _, args := range [][]string{{"PUBLISH", inj.Channel, string(payload)}} {
				do(t, admin, args...)
			}
			// The last word: one event that all get.
			last := "\x92\x90\x82\xa4json\xc4\x04last\xabmessagepack\xc4\x04last"
			for _, c := range clients {
				do(t, admin, "PUBLISH", "Interop.ChatHub:connection:"+c.id, last)
			}
			for name, c := range clients {
				got := c.take(t)
				var want []byte
				for _, m := range inj.Received[name] {
					if c.protocol == "json" {
						want = append(append(want, m...), 0x1e)
					} else {
						b, _ := hex.DecodeString(m)
						want = append(append(want, byte(len(b))), b...)
					}
				}
				if !bytes.Equal(got, want) && differs[inj.Name] == "" {
					t.Errorf("%s got %q, want %q", name, got, want)
				}
			}
			var want []string
			for _, p := range inj.Published {
				if strings.Contains(p[0], ":internal:ack:") {
					want = append(want, p[0]+" "+p[1])
				}
			}
			for _, w := range want {
				select {
				case got := <-acks:
					if !slices.Contains(want, got) {
						t.Errorf("published %s, want %s", got, w)
					}
				case <-time.After(20 * time.Second):
					t.Fatalf("%s was not published", w)
				}
			}
			for _, c := range clients {
				c.port.End(nil)
			}
			if err := hub.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
