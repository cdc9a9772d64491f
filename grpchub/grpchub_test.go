package grpchub_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub"
	"github.com/hubwire/hubwire/grpchub/hubgrpc"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/wire"
)

const patience = 20 * time.Second

// users makes the metadata "user" the user of a call, as real middleware would
// make one of a token.
func users(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("User"); id == "nobody" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		} else if id != "" {
			u := &hubwire.User{ID: id}
			if d, err := time.ParseDuration(r.Header.Get("Expires-In")); err == nil {
				u.Expires = time.Now().Add(d)
			}
			r = r.WithContext(hubwire.WithUser(r.Context(), u))
		}
		next.ServeHTTP(w, r)
	})
}

func as(t testing.TB, user string, more ...string) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, append([]string{"user", user}, more...)...)
}

func hubs(h *hubwire.Hub) map[string]*hubwire.Hub { return map[string]*hubwire.Hub{"chat": h} }

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

func hello(m *hubpb.Hello) *hubpb.ClientFrame {
	return &hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Hello{Hello: m}}
}

// A connection begins with a Hello for a hub that there is.
func TestHello(t *testing.T) {
	refusing := newHub(&hubwire.Options{Connect: func(_ context.Context, c *hubwire.Conn) error {
		if c.Request().Query.Get("refuse") == "plain" {
			return errors.New("secret")
		}
		return hubwire.Errorf(hubwire.CodeFailedPrecondition, "not today")
	}})
	x := serve(t, map[string]*hubwire.Hub{"chat": newHub(nil), "refusing": refusing}, nil, nil)
	hub := hubgrpc.NewHubClient(x.conn(t))
	for name, c := range map[string]struct {
		frame *hubpb.ClientFrame
		code  codes.Code
		text  string
	}{
		"no hello":      {&hubpb.ClientFrame{Frame: &hubpb.ClientFrame_Ping{Ping: &hubpb.Ping{}}}, codes.InvalidArgument, "The first frame must be a Hello."},
		"unknown hub":   {hello(&hubpb.Hello{Hub: "nope"}), codes.NotFound, "There is no hub nope."},
		"no hub":        {hello(&hubpb.Hello{}), codes.NotFound, "There is no hub ."},
		"bad encoding":  {hello(&hubpb.Hello{Hub: "chat", Encoding: 77}), codes.InvalidArgument, "There is no such encoding."},
		"refused":       {hello(&hubpb.Hello{Hub: "refusing"}), codes.FailedPrecondition, "not today"},
		"refused plain": {hello(&hubpb.Hello{Hub: "refusing", Query: map[string]string{"refuse": "plain"}}), codes.PermissionDenied, "The hub refuses the connection."},
	} {
		s, err := hub.Connect(as(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Send(c.frame)
		f, err := s.Recv()
		if status.Code(err) != c.code || status.Convert(err).Message() != c.text {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
	s := must(hub.Connect(as(t, "")))
	_ = s.CloseSend()
	_, err := s.Recv()
	wantCode(t, err, codes.InvalidArgument)

	c := must(dial(x.conn(t), &hubpb.Hello{Hub: "chat", KeepaliveMs: 5000, TimeoutMs: 100}))
	if w := c.wel; w.ConnectionId == "" || w.ConnectionToken == "" || w.KeepaliveMs != 5000 || w.TimeoutMs != 1000 || w.MaxMessageBytes != 64<<10 || w.Resumed {
		t.Errorf("welcome: %v", w)
	}
	_ = c.send(hello(&hubpb.Hello{Hub: "chat"}))
	<-c.done
	wantCode(t, c.err, codes.InvalidArgument)
}

func TestErrors(t *testing.T) {
	x := serve(t, hubs(newHub(nil)), nil, nil)
	hub := hubgrpc.NewHubClient(x.conn(t))
	for how, want := range map[string]struct {
		code    codes.Code
		message string
	}{
		`"cake"`:  {codes.NotFound, "there is no cake"},
		`"plain"`: {codes.Unknown, "Fails failed."},
		`"panic"`: {codes.Unknown, "Fails failed."},
		`1`:       {codes.InvalidArgument, "The arguments of Fails do not bind."},
	} {
		out, err := hub.Invoke(as(t, ""), &hubpb.InvokeRequest{Hub: "chat", Target: "Fails", Args: [][]byte{[]byte(how)}})
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if e := out.GetError(); e.GetCode() != int32(want.code) || e.GetMessage() != want.message {
			t.Errorf("%s: %v", how, out)
		}
		if how == `"cake"` {
			var d wrapperspb.StringValue
			if a := out.GetError().Details; len(a) != 1 || a[0].UnmarshalTo(&d) != nil || d.Value != "detail" {
				t.Errorf("details: %v", a)
			}
		}
	}
	out := must(hub.Invoke(as(t, ""), &hubpb.InvokeRequest{Hub: "chat", Target: "Nope"}))
	if e := out.GetError(); e.GetCode() != int32(codes.Unimplemented) || e.GetMessage() != "There is no method Nope." {
		t.Errorf("an unknown method: %v", out)
	}
}

// Invoke, InvokeStream and Upload without a connection.
func TestSingle(t *testing.T) {
	x := serve(t, hubs(newHub(nil)), &grpcwire.Options{Middleware: users}, nil)
	hub := hubgrpc.NewHubClient(x.conn(t))
	out := must(hub.Invoke(as(t, "ann"), &hubpb.InvokeRequest{Hub: "chat", Target: "WhoAmI"}))
	if got := string(out.GetResult()); got != `"ann grpc Invoke json"` {
		t.Errorf("WhoAmI = %s", got)
	}
	_, err := hub.Invoke(as(t, "nobody"), &hubpb.InvokeRequest{Hub: "chat", Target: "WhoAmI"})
	wantCode(t, err, codes.Unauthenticated)
	_, err = hub.Invoke(as(t, "ann"), &hubpb.InvokeRequest{Hub: "nope", Target: "WhoAmI"})
	wantCode(t, err, codes.NotFound)
	if e := must(hub.Invoke(as(t, "ann"), &hubpb.InvokeRequest{Hub: "chat", Target: "Join", Args: [][]byte{[]byte(`"room"`)}})).GetError(); e.GetCode() != int32(codes.Unimplemented) {
		t.Errorf("a call without a connection joins a group: %v", e)
	}
	if e := must(hub.Invoke(as(t, "ann"), &hubpb.InvokeRequest{Hub: "chat", Target: "Count", Args: [][]byte{[]byte(`1`)}})).GetError(); e.GetCode() != int32(codes.InvalidArgument) {
		t.Errorf("a stream as a method: %v", e)
	}

	for n, want := range map[string]codes.Code{"0": codes.OK, "100": codes.OK, "3": codes.Aborted} {
		s := must(hub.InvokeStream(as(t, "ann"), &hubpb.InvokeRequest{Hub: "chat", Target: "Count", Args: [][]byte{[]byte(n)}}))
		i := 0
		for {
			m, err := s.Recv()
			if err != nil {
				if eof(err) {
					err = nil
				}
				wantCode(t, err, want)
				break
			}
			if string(m.Item) != fmt.Sprint(i) {
				t.Errorf("item %d: %s", i, m.Item)
			}
			i++
		}
		if fmt.Sprint(i) != n {
			t.Errorf("%d items of %s", i, n)
		}
	}
	ctx, cancel := context.WithCancel(as(t, "ann"))
	s := must(hub.InvokeStream(ctx, &hubpb.InvokeRequest{Hub: "chat", Target: "Count", Args: [][]byte{[]byte(`1000000000`)}}))
	must(s.Recv())
	cancel() // the stream ends: Shutdown at the end of the test would wait for it

	up := must(hub.Upload(as(t, "ann")))
	_ = up.Send(&hubpb.UploadFrame{Frame: &hubpb.UploadFrame_Start{Start: &hubpb.InvokeRequest{Hub: "chat", Target: "Sum"}}})
	for i := range 100 {
		_ = up.Send(&hubpb.UploadFrame{Frame: &hubpb.UploadFrame_Item{Item: &hubpb.StreamItem{Item: fmt.Append(nil, i)}}})
	}
	if out := must(up.CloseAndRecv()); string(out.GetResult()) != "4950" {
		t.Errorf("Sum = %v", out)
	}
	for name, frames := range map[string][]*hubpb.UploadFrame{
		"no start": {{Frame: &hubpb.UploadFrame_Item{Item: &hubpb.StreamItem{Item: []byte("1")}}}},
		"nothing":  nil,
	} {
		up := must(hub.Upload(as(t, "ann")))
		for _, f := range frames {
			_ = up.Send(f)
		}
		_, err := up.CloseAndRecv()
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	up = must(hub.Upload(as(t, "ann")))
	_ = up.Send(&hubpb.UploadFrame{Frame: &hubpb.UploadFrame_Start{Start: &hubpb.InvokeRequest{Hub: "chat", Target: "Sum"}}})
	_ = up.Send(&hubpb.UploadFrame{Frame: &hubpb.UploadFrame_Item{Item: &hubpb.StreamItem{Item: []byte(`-7`)}}})
	var early hubpb.Completion // without the end of the upload
	if err := up.RecvMsg(&early); err != nil || string(early.GetResult()) != "-7" {
		t.Errorf("a handler that stops reading: %v, %v", &early, err)
	}
}

// A client of Subscribe is a member like others, and makes calls by Invoke.
func TestSubscribe(t *testing.T) {
	x := serve(t, hubs(newHub(nil)), &grpcwire.Options{Middleware: users}, &grpchub.Options{Join: func(_ context.Context, c *hubwire.Conn, g string) error {
		if g != "room" && g != c.User().ID {
			return hubwire.Errorf(hubwire.CodePermissionDenied, "not %s", g)
		}
		return nil
	}})
	hub := hubgrpc.NewHubClient(x.conn(t))
	_, err := must(hub.Subscribe(as(t, "ann"), &hubpb.SubscribeRequest{Hello: &hubpb.Hello{Hub: "chat"}, Groups: []string{"room", "secret"}})).Recv()
	wantCode(t, err, codes.PermissionDenied)

	sub := must(hub.Subscribe(as(t, ""), &hubpb.SubscribeRequest{Hello: &hubpb.Hello{Hub: "chat"}, Groups: []string{"room"}}))
	w := must(sub.Recv()).GetWelcome()
	full := must(dial(x.conn(t), &hubpb.Hello{Hub: "chat", Encoding: hubpb.Encoding_JSON}, said.With(func(context.Context, note) error { return nil })))
	defer full.Close()
	if err := say.Call(as(t, ""), full, note{Who: "full", Text: "1"}); err != nil {
		t.Fatal(err)
	}
	if m := must(sub.Recv()).GetInvocation(); m.GetTarget() != "Said" || string(m.Args[0]) != `"full"` || m.Id != "" {
		t.Errorf("got %v", m)
	}

	invoke := func(user string, r *hubpb.InvokeRequest) (*hubpb.Completion, error) {
		r.Target, r.Args = "Say", [][]byte{[]byte(`"sub"`), []byte(`"2"`)}
		return hub.Invoke(as(t, user), r)
	}
	_, err = invoke("", &hubpb.InvokeRequest{ConnectionId: w.ConnectionId})
	wantCode(t, err, codes.NotFound) // the id is public
	_, err = invoke("ann", &hubpb.InvokeRequest{ConnectionId: w.ConnectionId, ConnectionToken: "x"})
	wantCode(t, err, codes.NotFound)
	out, err := invoke("", &hubpb.InvokeRequest{ConnectionId: w.ConnectionId, ConnectionToken: w.ConnectionToken})
	if err != nil || out.GetError() != nil {
		t.Fatalf("Invoke: %v, %v", out, err)
	}
	if m := must(sub.Recv()).GetInvocation(); string(m.Args[1]) != `"2"` {
		t.Errorf("got %v", m)
	}
	// A user needs no token for connections of their own.
	own := must(hub.Subscribe(as(t, "ann"), &hubpb.SubscribeRequest{Hello: &hubpb.Hello{Hub: "chat"}, Groups: []string{"ann"}}))
	id := must(own.Recv()).GetWelcome().ConnectionId
	if out, err := hub.Invoke(as(t, "ann"), &hubpb.InvokeRequest{ConnectionId: id, Target: "WhoAmI"}); err != nil || string(out.GetResult()) != `"ann grpc Subscribe json"` {
		t.Errorf("WhoAmI: %v, %v", out, err)
	}
	_, err = hub.Invoke(as(t, "bob"), &hubpb.InvokeRequest{ConnectionId: id, Target: "WhoAmI"})
	wantCode(t, err, codes.NotFound)
	// One that only receives cannot be asked, and says so at once.
	if out := must(hub.Invoke(as(t, "ann"), &hubpb.InvokeRequest{ConnectionId: id, Target: "Ask", Args: [][]byte{[]byte(`"?"`)}})); out.GetError().GetCode() != int32(codes.Unimplemented) {
		t.Errorf("Ask: %v", out)
	}
}

// Values that are messages are messages with PROTOBUF; others are JSON, and said
// to be.
func TestProtobuf(t *testing.T) {
	x := serve(t, hubs(newHub(nil)), nil, &grpchub.Options{Join: func(context.Context, *hubwire.Conn, string) error { return nil }})
	hub := hubgrpc.NewHubClient(x.conn(t))
	sub := must(hub.Subscribe(as(t, ""), &hubpb.SubscribeRequest{Hello: &hubpb.Hello{Hub: "chat", Encoding: hubpb.Encoding_PROTOBUF}, Groups: []string{"room"}}))
	w := must(sub.Recv()).GetWelcome()
	seven := must(proto.Marshal(wrapperspb.Int64(7)))
	fourteen := must(proto.Marshal(wrapperspb.Int64(14)))
	call := &hubpb.InvokeRequest{ConnectionId: w.ConnectionId, ConnectionToken: w.ConnectionToken, Target: "Double", Args: [][]byte{seven}}
	out := must(hub.Invoke(as(t, ""), call))
	if string(out.GetResult()) != string(fourteen) || out.Json {
		t.Errorf("Double = %v", out)
	}
	if m := must(sub.Recv()).GetInvocation(); m.GetTarget() != "Doubled" || string(m.Args[0]) != string(fourteen) || len(m.JsonArgs) != 0 {
		t.Errorf("the event: %v", m)
	}
	call.Args, call.JsonArgs = [][]byte{[]byte(`"7"`)}, []uint32{0}
	if out := must(hub.Invoke(as(t, ""), call)); string(out.GetResult()) != string(fourteen) {
		t.Errorf("Double of JSON = %v", out)
	}
	must(sub.Recv())
	call.Target, call.Args = "Echo", [][]byte{[]byte(`"hi"`)}
	if out := must(hub.Invoke(as(t, ""), call)); string(out.GetResult()) != `"hi"` || !out.Json {
		t.Errorf("Echo = %v", out)
	}
	call.JsonArgs = nil
	if out := must(hub.Invoke(as(t, ""), call)); out.GetError().GetCode() != int32(codes.InvalidArgument) {
		t.Errorf("a text as a message: %v", out)
	}
	call.Target, call.Args, call.JsonArgs = "Say", [][]byte{[]byte(`"w"`), []byte(`"t"`)}, []uint32{0, 1}
	must(hub.Invoke(as(t, ""), call))
	if m := must(sub.Recv()).GetInvocation(); m.GetTarget() != "Said" || string(m.Args[1]) != `"t"` || fmt.Sprint(m.JsonArgs) != "[0 1]" {
		t.Errorf("the event: %v", m)
	}
}

// The position is behind the shared bytes, and the follower finds what closes.
func TestFraming(t *testing.T) {
	event := must(proto.Marshal(&hubpb.ServerFrame{Frame: &hubpb.ServerFrame_Invocation{Invocation: &hubpb.Invocation{Target: "Said", Args: [][]byte{[]byte(`"x"`)}}}}))
	for _, f := range grpchub.Framings() {
		got, err := f.Protocol().AppendEvent(nil, "Said", "", [][]byte{[]byte("\x01\"x\"")})
		if err != nil {
			t.Fatal(err)
		}
		var m hubpb.ServerFrame
		if err := proto.Unmarshal(got, &m); err != nil || m.GetInvocation().GetTarget() != "Said" {
			t.Errorf("%s: %x, %v", f.Protocol().Name(), got, err)
		}
		if !strings.HasPrefix(fmt.Sprintf("%T", f), "grpchub.framing") {
			continue
		}
		b := f.Append(nil, []wire.Record{{Bytes: event}, {Bytes: event, At: wire.Position{Epoch: 1, Offset: 300}}})
		first, rest := b[5:5+len(event)], b[5+len(event):]
		if string(first) != string(event) || string(rest[5:5+len(event)]) != string(event) {
			t.Errorf("the bytes are not shared: %x", b)
		}
		if err := proto.Unmarshal(rest[5:], &m); err != nil || m.Seq != 300 {
			t.Errorf("seq: %v, %v", &m, err)
		}
	}
	bye := &hubpb.ServerFrame{Frame: &hubpb.ServerFrame_Close{Close: &hubpb.Close{}}}
	done := &hubpb.ServerFrame{Frame: &hubpb.ServerFrame_Completion{Completion: &hubpb.Completion{Id: "1"}}}
	for _, f := range grpchub.Framings() {
		var b []byte
		for _, m := range []*hubpb.ServerFrame{{}, done, bye} {
			b = f.Append(b, []wire.Record{{Bytes: must(proto.Marshal(m))}})
		}
		for size := 1; size < len(b); size++ {
			var follow grpchub.Follower
			closes := 0
			for p := b; len(p) > 0; p = p[min(size, len(p)):] {
				if follow.Next(p[:min(size, len(p))]) {
					closes++
				}
			}
			if closes != 1 {
				t.Fatalf("%T in pieces of %d: %d ends", f, size, closes)
			}
		}
	}
}

func FuzzFollower(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 0x4a, 0, 0, 0, 0, 0, 0}, 3)
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 1}, 1)
	f.Add([]byte("\x00\x00\x00\x00\x0b{\"close\":{}"), 2)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		at = max(0, min(at, len(b)))
		var one, two grpchub.Follower
		a := one.Next(b)
		x, y := two.Next(b[:at]), two.Next(b[at:])
		if a != (x || y) {
			t.Errorf("%x cut at %d: %v, %v %v", b, at, a, x, y)
		}
	})
}

func TestPublisher(t *testing.T) {
	h := newHub(nil)
	x := serve(t, hubs(h), &grpcwire.Options{Middleware: users}, &grpchub.Options{Publish: func(u *hubwire.User) bool { return u.ID == "service" }})
	cc := x.conn(t)
	pub := hubgrpc.NewHubPublisherClient(cc)
	got := make(chan string, 100)
	member := func(enc hubpb.Encoding) *client {
		c := must(dial(cc, &hubpb.Hello{Hub: "chat", Encoding: enc}, said.With(func(_ context.Context, n note) error { got <- n.Who + " " + n.Text; return nil }),
			hubwire.Event[any]("Value").With(func(_ context.Context, v any) error { got <- fmt.Sprintf("%T %v", v, v); return nil })))
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	a, b := member(hubpb.Encoding_JSON), member(hubpb.Encoding_MSGPACK)
	next := func() string {
		t.Helper()
		select {
		case s := <-got:
			return s
		case <-time.After(patience):
			t.Fatal("no event")
			return ""
		}
	}
	request := func(to *hubpb.Audience) *hubpb.PublishRequest {
		return &hubpb.PublishRequest{Hub: "chat", To: to, Target: "Said", Args: [][]byte{[]byte(`"p"`), []byte(` "hi" `)}}
	}
	all := &hubpb.Audience{To: &hubpb.Audience_All{All: true}}
	_, err := pub.Publish(as(t, ""), request(all))
	wantCode(t, err, codes.Unauthenticated)
	_, err = pub.Publish(as(t, "ann"), request(all))
	wantCode(t, err, codes.PermissionDenied)
	_, err = pub.EditGroup(as(t, "ann"), &hubpb.EditGroupRequest{Hub: "chat", ConnectionId: a.wel.ConnectionId, Join: []string{"g"}})
	wantCode(t, err, codes.PermissionDenied)

	ctx := as(t, "service")
	if out := must(pub.Publish(ctx, request(all))); out.Published != 1 {
		t.Errorf("published %v", out)
	}
	if x, y := next(), next(); x != "p hi" || y != "p hi" {
		t.Errorf("%s, %s", x, y)
	}
	must(pub.EditGroup(ctx, &hubpb.EditGroupRequest{Hub: "chat", ConnectionId: b.wel.ConnectionId, Join: []string{"g", "h"}}))
	must(pub.EditGroup(ctx, &hubpb.EditGroupRequest{Hub: "chat", ConnectionId: b.wel.ConnectionId, Leave: []string{"h"}}))
	group := func(name string) *hubpb.Audience { return &hubpb.Audience{To: &hubpb.Audience_Group{Group: name}} }
	r := request(group("g"))
	r.DedupId = "1"
	must(pub.Publish(ctx, r))
	if out := must(pub.Publish(ctx, r)); out.Published != 0 || out.Duplicates != 1 {
		t.Errorf("a duplicate: %v", out)
	}
	must(pub.Publish(ctx, request(group("h"))))
	must(pub.Publish(ctx, request(&hubpb.Audience{To: &hubpb.Audience_Connection{Connection: a.wel.ConnectionId}})))
	must(pub.Publish(ctx, request(&hubpb.Audience{To: &hubpb.Audience_All{All: true}, Except: []string{a.wel.ConnectionId}})))
	for range 3 {
		if s := next(); s != "p hi" {
			t.Error(s)
		}
	}
	// Whole numbers stay whole, in whatever encoding they come and go.
	for _, c := range []struct {
		enc  hubpb.Encoding
		raw  string
		json bool
		want [2]string
	}{
		{hubpb.Encoding_JSON, "9007199254740993", false, [2]string{"", "int64 9007199254740993"}},
		{hubpb.Encoding_MSGPACK, "\xc3", false, [2]string{"bool true", "bool true"}},
		{hubpb.Encoding_PROTOBUF, "\"j\"", true, [2]string{"string j", "string j"}},
	} {
		for i, to := range []*client{a, b} {
			req := &hubpb.PublishRequest{Hub: "chat", To: &hubpb.Audience{To: &hubpb.Audience_Connection{Connection: to.wel.ConnectionId}}, Target: "Value", Encoding: c.enc, Args: [][]byte{[]byte(c.raw)}}
			if c.json {
				req.JsonArgs = []uint32{0}
			}
			must(pub.Publish(ctx, req))
			if s := next(); c.want[i] != "" && s != c.want[i] {
				t.Errorf("%v %q at client %d: %s", c.enc, c.raw, i, s)
			}
		}
	}
	s := must(pub.PublishStream(ctx))
	for range 50 {
		_ = s.Send(request(group("g")))
	}
	if out := must(s.CloseAndRecv()); out.Published != 50 {
		t.Errorf("PublishStream: %v", out)
	}
	for range 50 {
		next()
	}
	pb := must(proto.Marshal(must(anypb.New(wrapperspb.String("typed")))))
	must(pub.Publish(ctx, &hubpb.PublishRequest{Hub: "chat", To: all, Target: "Unknown", Encoding: hubpb.Encoding_PROTOBUF, Args: [][]byte{pb}}))
	for name, bad := range map[string]*hubpb.PublishRequest{
		"nobody":     {Hub: "chat", Target: "Said"},
		"not all":    {Hub: "chat", Target: "Said", To: &hubpb.Audience{To: &hubpb.Audience_All{}}},
		"no target":  {Hub: "chat", To: all},
		"no JSON":    {Hub: "chat", To: all, Target: "Said", Args: [][]byte{[]byte("{")}},
		"no msgpack": {Hub: "chat", To: all, Target: "Said", Encoding: hubpb.Encoding_MSGPACK, Args: [][]byte{{0xc1}}},
		"no type":    {Hub: "chat", To: all, Target: "Said", Encoding: hubpb.Encoding_PROTOBUF, Args: [][]byte{{1}}},
		"encoding":   {Hub: "chat", To: all, Target: "Said", Encoding: 9, Args: [][]byte{{1}}},
		"except":     {Hub: "chat", Target: "Said", To: &hubpb.Audience{To: &hubpb.Audience_User{User: "u"}, Except: []string{"x"}}},
	} {
		if _, err := pub.Publish(ctx, bad); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Over gRPC-Web with JSON the frames are JSON.
func TestJSONStream(t *testing.T) {
	h := newHub(nil)
	rpc := grpcwire.New(nil)
	grpchub.Mount(rpc, hubs(h), &grpchub.Options{Join: func(context.Context, *hubwire.Conn, string) error { return nil }})
	srv := httptest.NewServer(rpc)
	defer srv.Close()
	defer h.Shutdown(context.Background())
	body := grpcwire.AppendFrame(nil, []byte(`{"hello":{"hub":"chat"},"groups":["room"]}`))
	res, err := http.Post(srv.URL+"/hubwire.v1.Hub/Subscribe", "application/grpc-web+json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	next := func() *hubpb.ServerFrame {
		m := new(hubpb.ServerFrame)
		t.Helper()
		var prefix [5]byte
		if _, err := io.ReadFull(res.Body, prefix[:]); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, binary.BigEndian.Uint32(prefix[1:]))
		if _, err := io.ReadFull(res.Body, b); err != nil {
			t.Fatal(err)
		}
		if prefix[0] != 0 {
			t.Fatalf("the end: %s", b)
		}
		if err := protojson.Unmarshal(b, m); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		return m
	}
	if m := next(); m.GetWelcome().GetConnectionId() == "" {
		t.Errorf("got %v", m)
	}
	if err := said.Send(t.Context(), h.Group("room"), note{Who: "a", Text: "ä"}); err != nil {
		t.Fatal(err)
	}
	if m := next(); string(m.GetInvocation().GetArgs()[1]) != `"ä"` {
		t.Errorf("got %v", m)
	}
	go func() { _ = h.Shutdown(context.Background()) }() // ends with the stream
	if m := next(); !m.GetClose().GetReconnect() {
		t.Errorf("got %v", m)
	}
	rest, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(rest), "grpc-status: 14\r\n") {
		t.Errorf("%q, %v", rest, err)
	}
}

var mapping = grpchub.NewMapping(grpchub.Map(said, func(n note) *wrapperspb.StringValue {
	switch n.Text {
	case "":
		return nil
	case "panic":
		panic("no")
	}
	return wrapperspb.String(n.Who + ": " + n.Text)
}))

// A stream of a service of the user's own sees what members of a group see.
func TestWatch(t *testing.T) {
	h := newHub(nil)
	x := serve(t, hubs(h), nil, nil, func(rpc *grpcwire.Handler) {
		rpc.Handle(grpcwire.Method{Name: "/user.Notes/Watch", ServerStreams: true, Serve: func(s *grpcwire.Stream) error {
			var group wrapperspb.StringValue
			if err := s.Recv(&group); err != nil {
				return err
			}
			return mapping.Watch(s.Context(), h, group.Value)
		}})
	})
	cc := x.conn(t)
	ctx, cancel := context.WithCancel(as(t, ""))
	defer cancel()
	s := must(cc.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/user.Notes/Watch"))
	if err := errors.Join(s.SendMsg(wrapperspb.String("room")), s.CloseSend()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Header(); err != nil { // then it is a member
		t.Fatal(err)
	}
	for _, n := range []note{{Who: "a", Text: "1"}, {Who: "a"}, {Who: "a", Text: "panic"}, {Who: "b", Text: "2"}} {
		if err := said.Send(ctx, h.Group("room"), n); err != nil {
			t.Fatal(err)
		}
	}
	if err := doubled.Send(ctx, h.Group("room"), wrapperspb.Int64(1)); err != nil {
		t.Fatal(err)
	}
	if err := said.Send(ctx, h.Group("room"), note{Who: "c", Text: "3"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a: 1", "b: 2", "c: 3"} {
		var m wrapperspb.StringValue
		if err := s.RecvMsg(&m); err != nil || m.Value != want {
			t.Fatalf("got %q, %v; want %q", m.Value, err, want)
		}
	}
	go func() { _ = h.Shutdown(context.Background()) }() // ends with the stream
	err := s.RecvMsg(new(wrapperspb.StringValue))
	wantCode(t, err, codes.Unavailable)
}
