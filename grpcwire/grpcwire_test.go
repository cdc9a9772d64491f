package grpcwire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpcwire"
)

// handler makes a handler with an echo of each kind, and others.
func handler(opts *grpcwire.Options, more ...grpcwire.Method) *grpcwire.Handler {
	o := grpcwire.Options{}
	if opts != nil {
		o = *opts
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	h := grpcwire.New(&o)
	h.Handle(
		grpcwire.Method{Name: "/t.T/Unary", Serve: func(s *grpcwire.Stream) error {
			var m wrapperspb.StringValue
			if err := s.Recv(&m); err != nil {
				return err
			}
			return s.Send(&m)
		}},
		grpcwire.Method{Name: "/t.T/Bidi", ClientStreams: true, ServerStreams: true, Serve: func(s *grpcwire.Stream) error {
			for {
				var m wrapperspb.StringValue
				if err := s.Recv(&m); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.Send(&m); err != nil {
					return err
				}
			}
		}},
		grpcwire.Method{Name: "/t.T/Count", ServerStreams: true, Serve: func(s *grpcwire.Stream) error {
			var n wrapperspb.Int64Value
			if err := s.Recv(&n); err != nil {
				return err
			}
			for i := range n.Value {
				if err := s.Send(wrapperspb.Int64(i)); err != nil {
					return err
				}
			}
			return nil
		}},
	)
	h.Handle(more...)
	return h
}

func failing(name string, err error) grpcwire.Method {
	return grpcwire.Method{Name: name, Serve: func(s *grpcwire.Stream) error {
		var m wrapperspb.StringValue
		_ = s.Recv(&m)
		return err
	}}
}

func frame(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return grpcwire.AppendFrame(nil, b)
}

func text(s string) []byte { return frame(wrapperspb.String(s)) }

// call makes a call as net/http would see it, in memory.
func call(h http.Handler, path string, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
	r.Header.Set("Content-Type", "application/grpc")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// result is the status of a call, its text and its messages.
func result(w *httptest.ResponseRecorder) (code, text string, frames [][]byte) {
	res := w.Result()
	head := res.Trailer
	if res.Header.Get("Grpc-Status") != "" {
		head = res.Header
	}
	for b := w.Body.Bytes(); len(b) >= 5; {
		n := int(binary.BigEndian.Uint32(b[1:]))
		frames = append(frames, b[:5+n])
		b = b[5+n:]
	}
	return head.Get("Grpc-Status"), head.Get("Grpc-Message"), frames
}

func want(t *testing.T, w *httptest.ResponseRecorder, code, message string, frames ...[]byte) {
	t.Helper()
	gotCode, gotText, got := result(w)
	if gotCode != code || gotText != message || !bytes.Equal(bytes.Join(got, nil), bytes.Join(frames, nil)) {
		t.Errorf("got %s %q %x\nwant %s %q %x", gotCode, gotText, got, code, message, frames)
	}
}

func TestUnary(t *testing.T) {
	h := handler(nil)
	w := call(h, "/t.T/Unary", text("hi"))
	want(t, w, "0", "", text("hi"))
	if ct := w.Header().Get("Content-Type"); ct != "application/grpc" {
		t.Errorf("content type %q", ct)
	}
	want(t, call(h, "/t.T/Unary", nil), "12", "The call needs one request message; there was none.")
	want(t, call(h, "/t.T/Unary", append(text("a"), text("b")...)), "12", "Additional data after the message received.")
	want(t, call(h, "/t.T/Unary", append(text("a"), 0)), "12", "Additional data after the message received.")
	want(t, call(h, "/t.T/Unary", text("hi")[:6]), "13", "Incomplete message.")
	want(t, call(h, "/t.T/Unary", text("hi")[:3]), "13", "Incomplete message.")
	want(t, call(h, "/t.T/Unary", grpcwire.AppendFrame(nil, []byte{0xff})), "13", "The request message cannot be decoded.")
	want(t, call(h, "/t.T/Nope", nil), "12", "Method is unimplemented.")
	want(t, call(h, "/t.U/Nope", nil), "12", "Service is unimplemented.")
	want(t, call(h, "/t.T/unary", text("hi")), "12", "Method is unimplemented.")
	want(t, call(h, "/t.T/Unary?x=1", text("hi")), "12", "Method is unimplemented.")
	want(t, call(h, "/t.T/Bidi", bytes.Join([][]byte{text("a"), text("b")}, nil)), "0", "", text("a"), text("b"))
	want(t, call(h, "/t.T/Bidi", nil), "0", "")
}

func TestJSON(t *testing.T) {
	w := call(handler(nil), "/t.T/Unary", grpcwire.AppendFrame(nil, []byte(`"hi"`)), "Content-Type", "")
	if w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("two content types: %d", w.Code)
	}
	r := httptest.NewRequest(http.MethodPost, "/t.T/Unary", bytes.NewReader(grpcwire.AppendFrame(nil, []byte(`"hi"`))))
	r.ProtoMajor = 2
	r.Header.Set("Content-Type", "Application/Grpc+JSON; charset=utf-8")
	w = httptest.NewRecorder()
	handler(nil).ServeHTTP(w, r)
	want(t, w, "0", "", grpcwire.AppendFrame(nil, []byte(`"hi"`)))
	if ct := w.Header().Get("Content-Type"); ct != "application/grpc+json" {
		t.Errorf("content type %q", ct)
	}
}

// What is no call is refused in HTTP's words, and gRPC's.
func TestRefused(t *testing.T) {
	h := handler(nil)
	for _, c := range []struct {
		method, ct string
		major      int
		status     int
		message    string
	}{
		{"GET", "application/grpc", 2, 405, "Request method 'GET' is not supported."},
		{"POST", "text/plain", 2, 415, "Content-Type 'text/plain' is not supported."},
		{"POST", "application/grpc-foo", 2, 415, "Content-Type 'application/grpc-foo' is not supported."},
		{"POST", "application/grpc+x", 2, 415, "Content-Type 'application/grpc+x' is not supported."},
		{"POST", "application/grpc ;a=b", 2, 415, "Content-Type 'application/grpc ;a=b' is not supported."},
		{"POST", "", 2, 415, "Content-Type is missing from the request."},
		{"POST", "application/grpc", 1, 426, "Request protocol 'HTTP/1.1' is not supported."},
	} {
		r := httptest.NewRequest(c.method, "/t.T/Unary", nil)
		r.ProtoMajor = c.major
		if c.ct != "" {
			r.Header.Set("Content-Type", c.ct)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || w.Header().Get("Grpc-Status") != "13" || w.Header().Get("Grpc-Message") != c.message {
			t.Errorf("%v: %d %v", c, w.Code, w.Header())
		}
	}
}

func TestErrors(t *testing.T) {
	detail, err := anypb.New(wrapperspb.String("x"))
	if err != nil {
		t.Fatal(err)
	}
	h := handler(nil,
		failing("/t.E/Status", &grpcwire.Status{Code: 5, Message: "gone%", Details: []*anypb.Any{detail}}),
		failing("/t.E/Odd", &grpcwire.Status{Code: 77, Message: "odd"}),
		failing("/t.E/Hub", fmt.Errorf("wrapped: %w", hubwire.Errorf(hubwire.CodeNotFound, "no cake"))),
		failing("/t.E/Plain", errors.New("secret")),
		failing("/t.E/Unauthorized", hubwire.ErrUnauthorized),
		grpcwire.Method{Name: "/t.E/Panic", Serve: func(*grpcwire.Stream) error { panic("secret") }},
		grpcwire.Method{Name: "/t.E/Nil", Serve: func(*grpcwire.Stream) error { panic(nil) }},
	)
	w := call(h, "/t.E/Status", text(""))
	want(t, w, "5", "gone%25")
	if d := w.Header().Get("Grpc-Status-Details-Bin"); d == "" {
		t.Error("no details")
	}
	want(t, call(h, "/t.E/Odd", text("")), "77", "odd")
	want(t, call(h, "/t.E/Hub", text("")), "5", "no cake")
	want(t, call(h, "/t.E/Plain", text("")), "2", "Exception was thrown by handler.")
	want(t, call(h, "/t.E/Unauthorized", text("")), "7", "The user is not authorized.")
	want(t, call(h, "/t.E/Panic", text("")), "13", "The handler panics.")
	want(t, call(h, "/t.E/Nil", text("")), "13", "The handler panics.")
	detailed := handler(&grpcwire.Options{DetailedErrors: true}, failing("/t.E/Plain", errors.New("secret")))
	want(t, call(detailed, "/t.E/Plain", text("")), "2", "secret")
}

func TestLimits(t *testing.T) {
	h := handler(&grpcwire.Options{MaxMessage: 100})
	want(t, call(h, "/t.T/Unary", text(strings.Repeat("a", 98))), "0", "", text(strings.Repeat("a", 98)))
	want(t, call(h, "/t.T/Unary", text(strings.Repeat("a", 99))), "8", "Received message exceeds the maximum configured message size.")
	want(t, call(h, "/t.T/Unary", []byte{0, 0xff, 0xff, 0xff, 0xff}), "8", "Received message exceeds the maximum configured message size.")
	bomb := grpcwire.AppendFrame(nil, grpcwire.Deflate(make([]byte, 1000)))
	bomb[0] = 1
	want(t, call(h, "/t.T/Unary", bomb, "Grpc-Encoding", "gzip"), "8", "Received message exceeds the maximum configured message size.")
}

// A message that is small on the wire and large when inflated is refused without
// the memory for it.
func TestBomb(t *testing.T) {
	h := handler(nil)
	bomb := grpcwire.AppendFrame(nil, bytes.Repeat(grpcwire.Deflate(make([]byte, 1<<20)), 100))
	bomb[0] = 1
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	want(t, call(h, "/t.T/Unary", bomb, "Grpc-Encoding", "gzip"), "8", "Received message exceeds the maximum configured message size.")
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 48<<20 { // of a hundred: a buffer that doubles
		t.Errorf("it took %d KiB", took>>10)
	}
}

// Pages may not use names of their own for this machine (DNS rebinding); clients
// that are no pages may.
func TestHosts(t *testing.T) {
	for _, c := range []struct {
		hosts    []string
		ct, host string
		code     int
	}{
		{nil, "application/grpc-web", "evil.example", 403},
		{nil, "application/grpc-web", "localhost:80", 200},
		{nil, "application/grpc", "evil.example", 200},
		{[]string{"a.example"}, "application/grpc-web", "a.example", 200},
		{[]string{"a.example"}, "application/grpc-web", "localhost", 403},
	} {
		r := httptest.NewRequest(http.MethodPost, "/t.T/Unary", bytes.NewReader(text("hi")))
		r.ProtoMajor = 2
		r.Header.Set("Content-Type", c.ct)
		r.Host = c.host
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}))
		w := httptest.NewRecorder()
		handler(&grpcwire.Options{AllowedHosts: c.hosts}).ServeHTTP(w, r)
		if w.Code != c.code {
			t.Errorf("%v: %d %v", c, w.Code, w.Header())
		}
	}
}

func TestFlags(t *testing.T) {
	h := handler(nil)
	for flag, message := range map[byte]string{1: "Request did not include grpc-encoding value with compressed message.", 2: "The frame has unknown flags.", 0x80: "The frame has unknown flags."} {
		b := text("hi")
		b[0] = flag
		want(t, call(h, "/t.T/Unary", b), "13", message)
	}
	b := text("hi")
	b[0] = 1
	want(t, call(h, "/t.T/Unary", b, "Grpc-Encoding", "identity"), "13", "Request sent 'identity' grpc-encoding value with compressed message.")
	want(t, call(h, "/t.T/Unary", b, "Grpc-Encoding", "gzip"), "13", "The message cannot be decompressed.")
	want(t, call(h, "/t.T/Unary", b, "Grpc-Encoding", "zorp"), "12", "Unsupported grpc-encoding value 'zorp'. Supported encodings: identity, gzip")
	want(t, call(h, "/t.T/Unary", []byte{1, 0, 0, 0, 0}, "Grpc-Encoding", "gzip"), "0", "", frame(wrapperspb.String("")))
}

// Small messages stay as they are; large ones are compressed for those who can
// read it, and asked.
func TestCompression(t *testing.T) {
	large := strings.Repeat("a", 5000)
	zip := func(s string) []byte {
		b := grpcwire.AppendFrame(nil, grpcwire.Deflate(text(s)[5:]))
		b[0] = 1
		return b
	}
	for name, c := range map[string]struct {
		opts    grpcwire.Options
		headers []string
		body    []byte
		gzip    bool
	}{
		"offered":                 {headers: []string{"Grpc-Accept-Encoding", "gzip"}, body: text(large)},
		"used by the client":      {headers: []string{"Grpc-Encoding", "gzip"}, body: zip(large), gzip: true},
		"small":                   {headers: []string{"Grpc-Encoding", "gzip"}, body: text("hi")},
		"by option, offered":      {opts: grpcwire.Options{Compress: true}, headers: []string{"Grpc-Accept-Encoding", "identity, gzip"}, body: text(large), gzip: true},
		"by option, not offered":  {opts: grpcwire.Options{Compress: true}, body: text(large)},
		"by option, below":        {opts: grpcwire.Options{Compress: true, MinCompress: 10_000}, headers: []string{"Grpc-Accept-Encoding", "gzip"}, body: text(large)},
		"by option, another name": {opts: grpcwire.Options{Compress: true}, headers: []string{"Grpc-Accept-Encoding", "gzippy"}, body: text(large)},
	} {
		w := call(handler(&c.opts), "/t.T/Unary", c.body, c.headers...)
		code, message, frames := result(w)
		if code != "0" || len(frames) != 1 {
			t.Errorf("%s: %s %s", name, code, message)
			continue
		}
		if got := frames[0][0] == 1; got != c.gzip {
			t.Errorf("%s: compressed: %v", name, got)
		}
		if c.gzip && w.Header().Get("Grpc-Encoding") != "gzip" {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
	asks := handler(nil, grpcwire.Method{Name: "/t.C/Ask", Serve: func(s *grpcwire.Stream) error {
		if err := s.SetCompression("zorp"); err == nil {
			return errors.New("zorp is taken")
		}
		if err := s.SetCompression("gzip"); err != nil {
			return err
		}
		var m wrapperspb.StringValue
		if err := s.Recv(&m); err != nil {
			return err
		}
		return s.Send(&m)
	}})
	for offer, flag := range map[string]byte{"gzip": 1, "br": 0} {
		if _, _, frames := result(call(asks, "/t.C/Ask", text(large), "Grpc-Accept-Encoding", offer)); len(frames) != 1 || frames[0][0] != flag {
			t.Errorf("asked for, %s offered: %x", offer, frames)
		}
	}
}

func TestMetadata(t *testing.T) {
	var got grpcwire.Metadata
	h := handler(nil, grpcwire.Method{Name: "/t.M/Echo", Serve: func(s *grpcwire.Stream) error {
		got = s.Incoming()
		if err := s.SetHeader(grpcwire.Metadata{"x-h": {"1", "2"}, "X-B-Bin": {"\x00\xff"}, "grpc-status": {"3"}, "content-type": {"x"}}); err != nil {
			return err
		}
		for _, bad := range []grpcwire.Metadata{{"x y": {"1"}}, {"x": {"a\nb"}}, {"x": {"ä"}}} {
			if s.SetTrailer(bad) == nil {
				return fmt.Errorf("%v is taken", bad)
			}
		}
		if err := s.SetTrailer(grpcwire.Metadata{"x-t": {"3"}}); err != nil {
			return err
		}
		var m wrapperspb.StringValue
		if err := s.Recv(&m); err != nil {
			return err
		}
		if err := s.Send(&m); err != nil {
			return err
		}
		if s.SetHeader(grpcwire.Metadata{"x-late": {"1"}}) == nil {
			return errors.New("headers after a message are taken")
		}
		return nil
	}})
	w := call(h, "/t.M/Echo", text("hi"), "X-One", "1", "X-One", "2", "X-Pad-Bin", "AQ==, AQI=", "Grpc-Foo", "x", "User-Agent", "ua", "Te", "trailers", "Grpc-Timeout", "5S")
	want(t, w, "0", "", text("hi"))
	if fmt.Sprint(got["x-one"]) != "[1 2]" || fmt.Sprintf("%q", got["x-pad-bin"]) != `["\x01" "\x01\x02"]` || got.Get("Grpc-Foo") != "x" || got.Get("user-agent") != "ua" {
		t.Errorf("the handler sees %q", got)
	}
	for _, name := range []string{"te", "grpc-timeout", "content-type"} {
		if v, ok := got[name]; ok {
			t.Errorf("the handler sees %s: %q", name, v)
		}
	}
	res := w.Result()
	if v := res.Header["X-H"]; fmt.Sprint(v) != "[1 2]" || res.Header.Get("X-B-Bin") != "AP8" || res.Trailer.Get("X-T") != "3" || res.Header.Get("Content-Type") != "application/grpc" {
		t.Errorf("headers %v, trailers %v", res.Header, res.Trailer)
	}
	want(t, call(h, "/t.M/Echo", text("hi"), "X-B-Bin", "!!!"), "13", "The value of x-b-bin is not base64.")
}

// A call ends with its deadline, whatever its handler says.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler(&grpcwire.Options{MaxTimeout: time.Minute}, grpcwire.Method{Name: "/t.D/Wait", Serve: func(s *grpcwire.Stream) error {
			<-s.Context().Done()
			return nil
		}})
		for timeout, d := range map[string]time.Duration{"100m": 100 * time.Millisecond, "2H": time.Minute} {
			began := time.Now()
			want(t, call(h, "/t.D/Wait", text(""), "Grpc-Timeout", timeout), "4", "Deadline Exceeded")
			if took := time.Since(began); took != d {
				t.Errorf("%s: it took %v", timeout, took)
			}
		}
		began := time.Now()
		want(t, call(h, "/t.D/Wait", text("")), "4", "Deadline Exceeded")
		if took := time.Since(began); took != time.Minute {
			t.Errorf("without a timeout it took %v", took)
		}
		want(t, call(h, "/t.D/Wait", text(""), "Grpc-Timeout", "0S"), "4", "Deadline Exceeded")
		want(t, call(h, "/t.D/Wait", text(""), "Grpc-Timeout", "5"), "13", "The grpc-timeout is malformed.")
	})
}

// Middleware is asked before the body is, and its refusals are statuses.
func TestMiddleware(t *testing.T) {
	h := handler(&grpcwire.Options{Middleware: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.Header.Get("Authorization") {
			case "Bearer good":
				w.Header().Set("X-Seen", "yes")
				next.ServeHTTP(w, r.WithContext(hubwire.WithUser(r.Context(), &hubwire.User{ID: "u"})))
			case "Bearer bad":
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="It has expired"`)
				w.WriteHeader(http.StatusUnauthorized)
			case "Bearer slow":
				http.Error(w, "later", http.StatusTooManyRequests)
			default:
				http.Error(w, "no", http.StatusForbidden)
			}
		})
	}}, grpcwire.Method{Name: "/t.M/User", Serve: func(s *grpcwire.Stream) error {
		var m wrapperspb.StringValue
		if err := s.Recv(&m); err != nil {
			return err
		}
		return s.Send(wrapperspb.String(hubwire.UserFrom(s.Context()).ID))
	}})
	w := call(h, "/t.M/User", text(""), "Authorization", "Bearer good")
	want(t, w, "0", "", text("u"))
	if w.Header().Get("X-Seen") != "yes" {
		t.Error("the middleware's header is lost")
	}
	for token, c := range map[string][2]string{"bad": {"16", "It has expired"}, "slow": {"14", "Too Many Requests"}, "none": {"7", "Forbidden"}} {
		r := httptest.NewRequest(http.MethodPost, "/t.M/User", unread{t})
		r.ProtoMajor = 2
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		want(t, w, c[0], c[1])
		if w.Code != http.StatusOK {
			t.Errorf("%s: HTTP status %d", token, w.Code)
		}
	}
}

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}

func TestWeb(t *testing.T) {
	h := handler(nil, failing("/t.E/Fails", &grpcwire.Status{Code: 5, Message: "gone"}))
	web := func(path, ct, accept string, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", ct)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const end = "\x80\x00\x00\x00\x10grpc-status: 0\r\n"
	hi := string(text("hi"))
	for _, c := range []struct{ ct, accept, body, wantCT, wantBody string }{
		{"application/grpc-web", "", hi, "application/grpc-web", hi + end},
		{"application/grpc-web+proto", "*/*", hi, "application/grpc-web+proto", hi + end},
		{"application/grpc-web-text", "", "AAAAAAQKAmhp", "application/grpc-web", hi + end},
		{"application/grpc-web-text", "application/grpc-web-text", "AAAAAAQKAmhp", "application/grpc-web-text", "AAAAAAQKAmhpgAAAABBncnBjLXN0YXR1czogMA0K"},
		{"application/grpc-web", "application/grpc-web-text+proto", hi, "application/grpc-web-text+proto", "AAAAAAQKAmhpgAAAABBncnBjLXN0YXR1czogMA0K"},
	} {
		w := web("/t.T/Unary", c.ct, c.accept, c.body)
		if w.Header().Get("Content-Type") != c.wantCT || w.Body.String() != c.wantBody {
			t.Errorf("%s, %s: %s %q", c.ct, c.accept, w.Header().Get("Content-Type"), w.Body)
		}
		if w.Header().Get("X-Accel-Buffering") != "no" {
			t.Errorf("%s: a proxy may buffer", c.ct)
		}
	}
	w := web("/t.E/Fails", "application/grpc-web", "", hi)
	if w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Grpc-Status") != "5" || w.Header().Get("Grpc-Message") != "gone" {
		t.Errorf("a status alone: %d %v %q", w.Code, w.Header(), w.Body)
	}
	if w := web("/t.T/Unary", "application/grpc-web-text", "", "!!!!"); w.Header().Get("Grpc-Status") != "13" {
		t.Errorf("no base64: %v", w.Header())
	}
}

func TestCORS(t *testing.T) {
	preflight := func(h http.Handler, origin string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodOptions, "/t.T/Unary", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Access-Control-Request-Headers", "content-type,x-grpc-web")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	closed, open := handler(nil), handler(&grpcwire.Options{AllowedOrigins: []string{"https://a.example"}, ExposedHeaders: []string{"x-t"}})
	if w := preflight(closed, "https://a.example"); w.Code != 405 || w.Header().Get("Allow") != "POST" || !strings.HasPrefix(w.Header().Get("Grpc-Message"), "Unhandled CORS preflight request received.") {
		t.Errorf("without CORS: %d %v", w.Code, w.Header())
	}
	if w := preflight(open, "https://b.example"); w.Code != 405 || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin: %d %v", w.Code, w.Header())
	}
	w := preflight(open, "https://a.example")
	if w.Code != 204 || w.Header().Get("Access-Control-Allow-Origin") != "https://a.example" || w.Header().Get("Access-Control-Allow-Headers") != "content-type,x-grpc-web" || w.Header().Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("preflight: %d %v", w.Code, w.Header())
	}
	w = call(open, "/t.T/Unary", text("hi"), "Origin", "https://a.example")
	want(t, w, "0", "", text("hi"))
	if e := w.Header().Get("Access-Control-Expose-Headers"); !strings.Contains(e, "grpc-status") || !strings.Contains(e, "x-t") {
		t.Errorf("exposed: %q", e)
	}
	if w := preflight(handler(&grpcwire.Options{AllowedOrigins: []string{"*"}}), "https://b.example"); w.Header().Get("Access-Control-Allow-Origin") != "*" || w.Header().Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("any origin: %v", w.Header())
	}
}

func TestRoute(t *testing.T) {
	h := grpcwire.Route(handler(nil), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, c := range []struct {
		method, path, ct string
		grpc             bool
	}{
		{"POST", "/t.T/Unary", "application/grpc", true},
		{"POST", "/x.Y/Z", "application/grpc-web+proto", true},
		{"GET", "/t.T/Unary", "", true},
		{"POST", "/t.T/Unary", "text/plain", true},
		{"POST", "/", "application/grpc", false},
		{"POST", "/a", "application/grpc", false},
		{"POST", "/a/b/c", "application/grpc", false},
		{"POST", "/chat/negotiate", "application/json", false},
		{"GET", "/t.T/Other", "", false},
	} {
		r := httptest.NewRequest(c.method, c.path, nil)
		r.ProtoMajor = 2
		r.Header.Set("Content-Type", c.ct)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if got := w.Code != http.StatusTeapot; got != c.grpc {
			t.Errorf("%v: %d", c, w.Code)
		}
	}
	mux := http.NewServeMux()
	handler(nil).Mount(mux)
	want(t, call(mux, "/t.T/Unary", text("hi")), "0", "", text("hi"))
}

// Shutdown tells those of OnDrain first, streams then, and waits for them;
// attendants are answered to the last.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var course []string
		note := func(s string) {
			mu.Lock()
			defer mu.Unlock()
			course = append(course, s)
		}
		h := handler(nil,
			grpcwire.Method{Name: "/t.S/Hub", ServerStreams: true, Serve: func(s *grpcwire.Stream) error {
				<-s.Ending()
				note("told")
				time.Sleep(time.Second)
				return s.Why()
			}},
			grpcwire.Method{Name: "/t.S/Watch", ServerStreams: true, Attendant: true, Serve: func(s *grpcwire.Stream) error {
				<-s.Context().Done()
				return s.Context().Err()
			}},
			grpcwire.Method{Name: "/t.S/Check", Attendant: true, Serve: func(s *grpcwire.Stream) error { return s.Send(wrapperspb.String("")) }},
		)
		h.OnDrain(func() { note("health") })
		var hub, watch *httptest.ResponseRecorder
		var wg sync.WaitGroup
		wg.Go(func() { hub = call(h, "/t.S/Hub", text("")) })
		wg.Go(func() { watch = call(h, "/t.S/Watch", text("")) })
		synctest.Wait()
		wg.Go(func() {
			if err := h.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			note("down")
		})
		synctest.Wait()
		want(t, call(h, "/t.T/Unary", text("hi")), "14", "The server shuts down.")
		if code, _, _ := result(call(h, "/t.S/Check", nil)); code != "0" || !h.Draining() {
			t.Errorf("an attendant: %s", code)
		}
		wg.Wait()
		want(t, hub, "14", "The server shuts down.")
		want(t, watch, "14", "The server shuts down.")
		if fmt.Sprint(course) != "[health told down]" {
			t.Errorf("the course: %v", course)
		}
	})
}

// A call that ignores the end is cut off when Shutdown's time is over.
func TestShutdownCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler(nil, grpcwire.Method{Name: "/t.S/Deaf", ServerStreams: true, Serve: func(s *grpcwire.Stream) error {
			<-s.Context().Done()
			return s.Context().Err()
		}})
		var w *httptest.ResponseRecorder
		var wg sync.WaitGroup
		wg.Go(func() { w = call(h, "/t.S/Deaf", text("")) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown: %v", err)
		}
		wg.Wait()
		want(t, w, "14", "The server shuts down.")
	})
}

// Streams hear when the user's credentials end, and are ended a grace later.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expires := time.Now().Add(time.Minute)
		var told time.Duration
		h := handler(&grpcwire.Options{CloseOnExpiry: true, Grace: 2 * time.Second, Middleware: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(hubwire.WithUser(r.Context(), &hubwire.User{ID: "u", Expires: expires})))
			})
		}}, grpcwire.Method{Name: "/t.S/Wait", ServerStreams: true, Serve: func(s *grpcwire.Stream) error {
			began := time.Now()
			<-s.Ending()
			told = time.Since(began)
			<-s.Context().Done()
			return s.Context().Err()
		}})
		began := time.Now()
		want(t, call(h, "/t.S/Wait", text("")), "16", "The credentials have expired.")
		if took := time.Since(began); told != time.Minute || took != told+2*time.Second {
			t.Errorf("told after %v, ended after %v", told, took)
		}
	})
}

// A handler's goroutine that goes on sending is refused, and does no harm.
func TestSendAfterTheEnd(t *testing.T) {
	var kept *grpcwire.Stream
	h := handler(nil, grpcwire.Method{Name: "/t.S/Leaves", ServerStreams: true, Serve: func(s *grpcwire.Stream) error {
		kept = s
		return s.Send(wrapperspb.String("one"))
	}})
	want(t, call(h, "/t.S/Leaves", text("")), "0", "", text("one"))
	if err := kept.Send(wrapperspb.String("two")); err == nil {
		t.Error("a message after the end is taken")
	}
	if _, err := (grpcwire.Raw{}), kept.SendFrames(text("three")); err == nil {
		t.Error("frames after the end are taken")
	}
}

type counts struct {
	mu sync.Mutex
	n  map[string]int64
}

func (c *counts) Add(name, label string, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[name+" "+label] += n
}

func TestMetrics(t *testing.T) {
	m := &counts{n: map[string]int64{}}
	h := handler(&grpcwire.Options{Metrics: m}, failing("/t.E/Fails", &grpcwire.Status{Code: 5}))
	call(h, "/t.T/Unary", text("a"))
	call(h, "/t.T/Unary", text("a"))
	call(h, "/t.E/Fails", text("a"))
	call(h, "/t.E/Nope", nil)
	if got := fmt.Sprint(m.n); got != "map[grpc.server.call.ended 0:2 grpc.server.call.ended 12:1 grpc.server.call.ended 5:1 grpc.server.call.started /t.E/Fails:1 grpc.server.call.started /t.T/Unary:2 grpc.server.streams :0]" {
		t.Error(got)
	}
}

func TestOptions(t *testing.T) {
	for name, make := range map[string]func(){
		"options": func() { grpcwire.New(&grpcwire.Options{MaxMessage: -1}) },
		"origin":  func() { grpcwire.New(&grpcwire.Options{AllowedOrigins: []string{"example.com"}}) },
		"twice":   func() { handler(nil, failing("/t.T/Unary", nil)) },
		"path":    func() { handler(nil, failing("t.T/Unary", nil)) },
		"nil":     func() { grpcwire.New(nil).Handle(grpcwire.Method{Name: "/a/b"}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			make()
		}()
	}
}

// FuzzRequest sends any body to each kind of method: one status, no panic, and
// no message that was not sent.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(nil), false, false)
	f.Add(text("hi"), false, true)
	f.Add(append(text("a"), text("b")...), true, false)
	f.Add([]byte{0, 0xff, 0xff, 0xff, 0xff, 1}, true, true)
	f.Add([]byte{1, 0, 0, 0, 2, 0x1f, 0x8b}, true, false)
	f.Add([]byte("AAAAAAQKAmhp"), false, true)
	h := handler(&grpcwire.Options{MaxMessage: 1 << 12})
	f.Fuzz(func(t *testing.T, body []byte, gzip, web bool) {
		for _, path := range []string{"/t.T/Unary", "/t.T/Bidi"} {
			r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))
			r.ProtoMajor = 2
			r.Header.Set("Content-Type", "application/grpc")
			if web {
				r.Header.Set("Content-Type", "application/grpc-web-text")
			}
			if gzip {
				r.Header.Set("Grpc-Encoding", "gzip")
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != http.StatusOK {
				t.Fatalf("HTTP status %d", w.Code)
			}
			code, _, _ := result(w)
			if !web && code == "" {
				t.Fatalf("no status: %v", w.Header())
			}
		}
	})
}
