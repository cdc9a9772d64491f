package grpchub_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/auth"
	"github.com/hubwire/hubwire/grpchub"
	"github.com/hubwire/hubwire/grpchub/hubgrpc"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/signalr"
	websocket "github.com/hubwire/hubwire/signalr/client"
)

// One port has it all: WebSockets, event streams over HTTP/1.1 and HTTP/2, gRPC
// and gRPC-Web over both, plain and with TLS.
func TestOnePort(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) { onePort(t, secure) })
	}
}

func onePort(t *testing.T, secure bool) {
	h := newHub(nil)
	rpc := grpcwire.New(&grpcwire.Options{Logger: slog.New(slog.DiscardHandler)})
	grpchub.Mount(rpc, hubs(h), nil)
	mux := http.NewServeMux()
	signalr.Mount(mux, "/chat", h, nil)
	srv := httptest.NewUnstartedServer(grpcwire.Route(rpc, mux))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	grpcwire.Configure(srv.Config)
	srv.EnableHTTP2 = true
	creds := insecure.NewCredentials()
	var conf *tls.Config
	if secure {
		srv.StartTLS()
		pool := x509.NewCertPool()
		pool.AddCert(srv.Certificate())
		conf = &tls.Config{RootCAs: pool}
		creds = credentials.NewTLS(conf)
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		_ = h.Shutdown(context.Background())
		srv.CloseClientConnections()
		srv.Close()
	})
	httpClient := func(two bool) *http.Client {
		tr := &http.Transport{TLSClientConfig: conf, Protocols: new(http.Protocols)}
		tr.Protocols.SetHTTP1(!two)
		tr.Protocols.SetHTTP2(two && secure)
		tr.Protocols.SetUnencryptedHTTP2(two && !secure)
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr}
	}
	got := make(chan string, 10)
	receive := said.With(func(_ context.Context, n note) error { got <- n.Text; return nil })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()

	// A WebSocket.
	ws, err := websocket.Dial(ctx, srv.URL+"/chat", &websocket.Options{HTTPClient: httpClient(false), Handlers: []hubwire.ClientHandler{receive}})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	// gRPC.
	cc, err := grpc.NewClient(srv.Listener.Addr().String(), grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	g, err := dial(cc, &hubpb.Hello{Hub: "chat", Encoding: hubpb.Encoding_JSON}, receive)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	for _, caller := range []hubwire.Caller{ws, g} {
		if err := join.Call(ctx, caller, "room"); err != nil {
			t.Fatal(err)
		}
	}
	if err := say.Call(ctx, ws, note{Text: "from a WebSocket"}); err != nil {
		t.Fatal(err)
	}
	if err := say.Call(ctx, g, note{Text: "from gRPC"}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for range 4 {
		select {
		case s := <-got:
			seen[s]++
		case <-ctx.Done():
			t.Fatalf("got %v", seen)
		}
	}
	if seen["from a WebSocket"] != 2 || seen["from gRPC"] != 2 {
		t.Errorf("got %v", seen)
	}
	for _, two := range []bool{false, true} {
		c := httpClient(two)
		version := map[bool]int{false: 1, true: 2}[two]
		// gRPC-Web.
		body := grpcwire.AppendFrame(nil, must(proto.Marshal(&hubpb.InvokeRequest{Hub: "chat", Target: "Echo", Args: [][]byte{[]byte(`"web"`)}})))
		res, err := c.Post(srv.URL+"/hubwire.v1.Hub/Invoke", "application/grpc-web+proto", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.ProtoMajor != version || !bytes.Contains(b, []byte(`"web"`)) || !bytes.Contains(b, []byte("grpc-status: 0")) {
			t.Errorf("gRPC-Web over %s: %q, %v", res.Proto, b, err)
		}
		// An event stream.
		res, err = c.Post(srv.URL+"/chat/negotiate?negotiateVersion=1", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ = io.ReadAll(res.Body)
		_ = res.Body.Close()
		_, token, _ := strings.Cut(string(b), `"connectionToken":"`)
		token, _, _ = strings.Cut(token, `"`)
		streamCtx, stop := context.WithCancel(ctx)
		req := must(http.NewRequestWithContext(streamCtx, http.MethodGet, srv.URL+"/chat?id="+token, nil))
		req.Header.Set("Accept", "text/event-stream")
		res, err = c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 200 || res.ProtoMajor != version || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("an event stream over %s: %d %v", res.Proto, res.StatusCode, res.Header)
		}
		stop()
		_ = res.Body.Close()
	}
}

// Tokens are those of package auth, for hubs and publishers alike. TestLeaving has
// the ends of long streams with them.
func TestAuth(t *testing.T) {
	key := []byte("a secret of at least thirty-two bytes")
	h := newHub(nil)
	x := serve(t, hubs(h), &grpcwire.Options{Middleware: auth.Bearer(&auth.Options{
		Issuer: "t", Audiences: []string{"t"}, Keys: []auth.Key{{Secret: key}}, Skew: -1, Logger: slog.New(slog.DiscardHandler),
	})}, &grpchub.Options{Publish: auth.HasClaim("role", "service")})
	hub := hubgrpc.NewHubClient(x.conn(t))
	pub := hubgrpc.NewHubPublisherClient(x.conn(t))
	with := func(claims map[string]any) context.Context {
		b64 := base64.RawURLEncoding.EncodeToString
		token := b64([]byte(`{"alg":"HS256"}`)) + "." + b64(must(json.Marshal(claims)))
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(token))
		token += "." + b64(mac.Sum(nil))
		return metadata.AppendToOutgoingContext(as(t, ""), "authorization", "Bearer "+token)
	}
	claims := func(role string, d time.Duration) map[string]any {
		return map[string]any{"iss": "t", "aud": "t", "sub": "ann", "role": role, "exp": time.Now().Add(d).Unix()}
	}
	_, err := hub.Invoke(as(t, ""), &hubpb.InvokeRequest{Hub: "chat", Target: "WhoAmI"})
	wantCode(t, err, codes.Unauthenticated)
	_, err = hub.Invoke(metadata.AppendToOutgoingContext(as(t, ""), "authorization", "Bearer x.y.z"), &hubpb.InvokeRequest{Hub: "chat", Target: "WhoAmI"})
	wantCode(t, err, codes.Unauthenticated)
	if out, err := hub.Invoke(with(claims("", time.Minute)), &hubpb.InvokeRequest{Hub: "chat", Target: "WhoAmI"}); err != nil || !strings.HasPrefix(string(out.GetResult()), `"ann `) {
		t.Errorf("%v, %v", out, err)
	}
	all := &hubpb.PublishRequest{Hub: "chat", To: &hubpb.Audience{To: &hubpb.Audience_All{All: true}}, Target: "X"}
	_, err = pub.Publish(with(claims("", time.Minute)), all)
	wantCode(t, err, codes.PermissionDenied)
	if _, err := pub.Publish(with(claims("service", time.Minute)), all); err != nil {
		t.Error(err)
	}
}
