package grpchub

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/internal/ticker"
	"github.com/hubwire/hubwire/wire"
)

// A server is the hubs of one Mount.
type server struct {
	rpc   *grpcwire.Handler
	hubs  map[string]*hubwire.Hub
	opts  Options
	ticks ticker.Set
	dedup dedup

	mu    sync.RWMutex // guards the following
	conns map[string]*conn
}

// Mount serves hubs, by the names that clients use, on rpc: the services
// hubwire.v1.Hub and hubwire.v1.HubPublisher. The hubs' tables of handlers are
// complete from now on. It is called once for a handler, before that serves.
//
// It panics with a sentence for every rule that opts breaks.
func Mount(rpc *grpcwire.Handler, hubs map[string]*hubwire.Hub, opts *Options) {
	s := &server{rpc: rpc, hubs: hubs, opts: opts.withDefaults(), conns: map[string]*conn{}}
	if bad := s.opts.check(); len(bad) > 0 {
		panic("grpchub: options: " + strings.Join(bad, "; "))
	}
	s.dedup.window = s.opts.Dedup
	for _, h := range hubs {
		for _, p := range protocols {
			h.Expose(p)
		}
	}
	const hub, publisher = "/hubwire.v1.Hub/", "/hubwire.v1.HubPublisher/"
	rpc.Handle(
		grpcwire.Method{Name: hub + "Connect", ClientStreams: true, ServerStreams: true, MaxMessage: s.opts.MaxMessage, Serve: s.connect},
		grpcwire.Method{Name: hub + "Subscribe", ServerStreams: true, MaxMessage: s.opts.MaxMessage, Serve: s.subscribe},
		grpcwire.Method{Name: hub + "Invoke", MaxMessage: s.opts.MaxMessage, Serve: s.invoke},
		grpcwire.Method{Name: hub + "InvokeStream", ServerStreams: true, MaxMessage: s.opts.MaxMessage, Serve: s.invokeStream},
		grpcwire.Method{Name: hub + "Upload", ClientStreams: true, MaxMessage: s.opts.MaxMessage, Serve: s.upload},
		grpcwire.Method{Name: publisher + "Publish", Serve: s.publish},
		grpcwire.Method{Name: publisher + "PublishStream", ClientStreams: true, Serve: s.publishStream},
		grpcwire.Method{Name: publisher + "EditGroup", Serve: s.editGroup},
	)
}

func fail(c hubwire.Code, text string) *grpcwire.Status {
	return &grpcwire.Status{Code: c, Message: text}
}

// hub finds a hub by its name. Where there is one hub it needs no name.
func (s *server) hub(name string) (*hubwire.Hub, *grpcwire.Status) {
	h := s.hubs[name]
	if h == nil && name == "" && len(s.hubs) == 1 {
		for _, h = range s.hubs {
		}
	}
	if h == nil {
		return nil, fail(hubwire.CodeNotFound, "There is no hub "+name+".")
	}
	if h.Closing() {
		return nil, fail(hubwire.CodeUnavailable, "The hub shuts down.")
	}
	return h, nil
}

// random is a new id, or a secret: 128 bits.
func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// secret are names of metadata that Request.Query never has.
var secret = []string{"access_token", "id"}

// request is what a connection keeps of its call.
func (s *server) request(st *grpcwire.Stream, transport string, p *protocol, query map[string]string) *hubwire.Request {
	r := st.Request()
	kept := &hubwire.Request{Wire: "grpc", Transport: transport, Protocol: strings.ToLower(p.enc.String()), Remote: r.RemoteAddr}
	for k, v := range query {
		if slices.ContainsFunc(secret, func(s string) bool { return strings.EqualFold(s, k) }) {
			continue
		}
		if kept.Query == nil {
			kept.Query = url.Values{}
		}
		kept.Query.Set(k, v)
	}
	for _, name := range s.opts.KeepHeaders {
		if v := r.Header.Values(name); len(v) > 0 {
			if kept.Header == nil {
				kept.Header = http.Header{}
			}
			kept.Header[http.CanonicalHeaderKey(name)] = slices.Clone(v)
		}
	}
	return kept
}

func (s *server) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c.id] = c
}

func (s *server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c.id)
}

func (s *server) find(id string) *conn {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.conns[id]
}

// frame is a ServerFrame as a record.
func frame(m *hubpb.ServerFrame) []byte {
	b, err := proto.Marshal(m)
	if err != nil { // a text that is no UTF-8, in a name that a client chose
		return nil
	}
	return b
}

func framed(f wire.Framing, m *hubpb.ServerFrame) []byte {
	return f.Append(nil, []wire.Record{{Bytes: frame(m)}})
}

// ms is a time in milliseconds.
func ms(d time.Duration) uint32 { return uint32(d / time.Millisecond) }
