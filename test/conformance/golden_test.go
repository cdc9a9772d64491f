package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/test/conformance/streamspb"
)

// The exchanges of testdata/grpc were recorded at Grpc.AspNetCore 2.85.0 (the
// README of the recordings says how). Each is played against our server, and
// what matters of the answers is compared: status, content type, statuses and
// texts of gRPC, custom headers and trailers, messages. Where we answer otherwise
// deviations says what we say, and why.

// An exchange is one recorded request and its answer.
type exchange struct {
	Name    string
	Request struct {
		Headers    [][2]string
		Data       json.RawMessage
		DataFrames []string
	}
	Frames []struct {
		Frame     string
		End       string
		Headers   [][2]string
		Data      struct{ Hex string }
		EndStream bool
	}
	RequestHead  string
	RequestBody  json.RawMessage
	ResponseHead string
	Chunks       []json.RawMessage
	DecodedHex   *string
}

// An outcome is what matters of an answer.
type outcome struct {
	HTTP     string
	Type     string
	Status   string
	Message  string
	Encoding string
	Custom   []string // headers, then trailers after "--"
	Messages []string
}

func (o *outcome) String() string {
	b, _ := json.Marshal(o)
	return string(b)
}

// standard headers tell nothing of gRPC.
var standard = map[string]bool{"date": true, "server": true, "content-length": true, "transfer-encoding": true, "x-accel-buffering": true,
	"cache-control": true, "grpc-accept-encoding": true, "connection": true, "vary": true, "upgrade": true, "allow": true}

func (o *outcome) headers(list [][2]string, trailers bool) {
	var custom []string
	for _, h := range list {
		k, v := strings.ToLower(h[0]), h[1]
		switch {
		case k == ":status":
			o.HTTP = v
		case k == "content-type":
			o.Type = v
		case k == "grpc-status":
			o.Status = v
		case k == "grpc-message":
			o.Message = v
		case k == "grpc-encoding":
			o.Encoding = v
		case standard[k]:
		case strings.HasSuffix(k, "-bin"):
			custom = append(custom, k+": "+strings.TrimRight(v, "="))
		default:
			custom = append(custom, k+": "+v)
		}
	}
	slices.Sort(custom)
	o.Custom = append(o.Custom, custom...)
	_ = trailers // in which of the two a custom one comes differs where there is no message
}

// body takes the frames of a response apart.
func (o *outcome) body(b []byte, path string, web bool) {
	for len(b) >= 5 {
		n := int(binary.BigEndian.Uint32(b[1:]))
		if len(b)-5 < n {
			o.Messages = append(o.Messages, "cut")
			return
		}
		flag, p := b[0], b[5:5+n]
		b = b[5+n:]
		if flag&0x80 != 0 {
			if !web {
				o.Messages = append(o.Messages, "trailers in the body")
			}
			var list [][2]string
			for line := range strings.SplitSeq(strings.TrimSuffix(string(p), "\r\n"), "\r\n") {
				k, v, _ := strings.Cut(line, ": ")
				list = append(list, [2]string{k, v})
			}
			o.headers(list, true)
			continue
		}
		text := ""
		if flag == 1 {
			text = "gzip "
			z, err := gzip.NewReader(bytes.NewReader(p))
			if err == nil {
				p, err = io.ReadAll(z)
			}
			if err != nil {
				o.Messages = append(o.Messages, err.Error())
				continue
			}
		}
		o.Messages = append(o.Messages, text+message(p, path))
	}
	if len(b) > 0 {
		o.Messages = append(o.Messages, "cut")
	}
}

func message(p []byte, path string) string {
	var m streamspb.Response
	if bytes.HasPrefix(p, []byte("{")) && json.Valid(p) {
		return "JSON" // its spaces differ by chance
	}
	if !strings.HasPrefix(path, "/conformance.v1.Streams/") || proto.Unmarshal(p, &m) != nil {
		return hex.EncodeToString(p)
	}
	m.ServedBy = "" // the recorder's
	b, _ := proto.MarshalOptions{Deterministic: true}.Marshal(&m)
	return hex.EncodeToString(b)
}

// A deviation is an answer that is not .NET's.
type deviation struct {
	reason string
	want   func(o *outcome)
	skip   bool
}

func statusIs(code, text string) func(*outcome) {
	return func(o *outcome) {
		o.Status, o.Message, o.Messages, o.Custom, o.Encoding = code, text, nil, nil, ""
	}
}

func refused(code string, text string) func(*outcome) {
	return func(o *outcome) { *o = outcome{HTTP: code, Status: "13", Message: text} }
}

func mime(ct string) func(*outcome) { return func(o *outcome) { o.Type = ct } }

func all(fs ...func(*outcome)) func(*outcome) {
	return func(o *outcome) {
		for _, f := range fs {
			f(o)
		}
	}
}

const (
	incomplete = "Incomplete message."
	malformed  = "The grpc-timeout is malformed."
	notDecoded = "The request message cannot be decoded."
	noMessage  = "The call needs one request message; there was none."
	tooMany    = "Additional data after the message received."
	tooLarge   = "Received message exceeds the maximum configured message size."
	noMethod   = "Method is unimplemented."
	noService  = "Service is unimplemented."
	notServed  = "unknown service"
)

// deviations are by file and name; a name may end in *.
var deviations = map[string]deviation{
	"web-raw/ct-plus-json": {reason: "+json is JSON", want: func(o *outcome) {
		o.Type, o.Status, o.Message, o.Messages = "application/grpc-web+json", "0", "", []string{"JSON"}
	}},
	"web-raw/text-gzip-response":               {reason: "too small to be compressed", want: func(o *outcome) { o.Messages = plain(o.Messages) }},
	"web-raw/bin-gzip-response":                {reason: "too small to be compressed", want: func(o *outcome) { o.Messages = plain(o.Messages) }},
	"h2-unusual/timeout-300ms-handler '100m '": {reason: "malformed", want: statusIs("13", malformed)},
	"h2-unusual/timeout ' 5S'":                 {reason: "malformed", want: statusIs("13", malformed)},
	"h2-unusual/te 'gzip'": {reason: "net/http refuses what RFC 9113, section 8.2.2, forbids", want: func(o *outcome) {
		*o = outcome{HTTP: "400", Type: "text/plain; charset=utf-8", Custom: []string{"x-content-type-options: nosniff"}, Messages: []string{"cut"}}
	}},
	"h2-unusual/gzip-empty":             {reason: "answers to a client that compresses may be compressed", want: func(o *outcome) { o.Encoding = "gzip" }},
	"h2-raw/gzip-request-flag-0":        {reason: "answers to a client that compresses may be compressed", want: func(o *outcome) { o.Encoding = "gzip" }},
	"h2-raw/health-unknown":             {reason: "grpc-go's health service says what it does not know", want: func(o *outcome) { o.Message = notServed }},
	"h2-raw/gzip-response-not-accepted": {reason: "only what the client offers", want: func(o *outcome) { o.Encoding = ""; o.Messages = plain(o.Messages) }},
	"h2-raw/gzip-response-accept-br":    {reason: "only what the client offers", want: func(o *outcome) { o.Encoding = ""; o.Messages = plain(o.Messages) }},
	"h2-raw/compress-unknown-response":  {reason: "a handler cannot ask for a compression that there is not", want: statusIs("12", "Compression zorp is not supported.")},
	"h2-raw/deflate-request":            {reason: "gzip alone is supported", want: statusIs("12", "Unsupported grpc-encoding value 'deflate'. Supported encodings: identity, gzip")},
	"h2-raw/client-rst-mid-stream":      {reason: "the client leaves; there is nothing to compare", skip: true},

	"h2-unusual/ct 'application/grpc+proto'":          {reason: "the answer echoes the type", want: mime("application/grpc+proto")},
	"h2-unusual/ct 'application/grpc+json'":           {reason: "+json is JSON, which this message is not", want: all(statusIs("13", notDecoded), mime("application/grpc+json"))},
	"h2-unusual/ct 'application/grpc-foo'":            {reason: "the text names the type", want: refused("415", "Content-Type 'application/grpc-foo' is not supported.")},
	"h2-unusual/ct 'application/grpc-web-text'":       {reason: "text means base64, which this body is not", want: all(statusIs("13", "The body is not base64."), mime("application/grpc-web"))},
	"h2-unusual/verb GET":                             {reason: "405 says what is wrong", want: refused("405", "Request method 'GET' is not supported.")},
	"h2-unusual/verb PUT":                             {reason: "405 says what is wrong", want: refused("405", "Request method 'PUT' is not supported.")},
	"h2-unusual/verb HEAD":                            {reason: "405 says what is wrong", want: refused("405", "Request method 'HEAD' is not supported.")},
	"h2-unusual/path /conformance.v1.streams/unary":   {reason: "paths are case-sensitive", want: statusIs("12", noService)},
	"h2-unusual/path /conformance.v1.Streams/Unary/":  {reason: "a path of three segments is the mux's", want: func(o *outcome) { *o = outcome{HTTP: "404"} }},
	"h2-unusual/path /conformance.v1.Streams/%55nary": {reason: "paths are compared as they come", want: statusIs("12", noMethod)},
	"h2-unusual/timeout '5'":                          {reason: "a malformed timeout is an error, not no deadline", want: statusIs("13", malformed)},
	"h2-unusual/timeout '5X'":                         {reason: "likewise", want: statusIs("13", malformed)},
	"h2-unusual/timeout '-1S'":                        {reason: "likewise", want: statusIs("13", malformed)},
	"h2-unusual/timeout '5 S'":                        {reason: "likewise", want: statusIs("13", malformed)},
	"h2-unusual/timeout '1.5S'":                       {reason: "likewise", want: statusIs("13", malformed)},
	"h2-unusual/timeout '123456789S'":                 {reason: "eight digits are the most", want: statusIs("13", malformed)},
	"h2-unusual/timeout 'S'":                          {reason: "likewise", want: statusIs("13", malformed)},
	"h2-unusual/timeout '5s'":                         {reason: "likewise", want: statusIs("13", malformed)},
	"h2-unusual/timeout '5S,6S'":                      {reason: "likewise", want: statusIs("13", malformed)},
	"h2-unusual/timeout '0m'":                         {reason: "no time at all is a deadline", want: statusIs("4", "Deadline Exceeded")},
	"h2-unusual/timeout '1n'":                         {reason: "so little time is a deadline", want: statusIs("4", "Deadline Exceeded")},
	"h2-unusual/timeout-300ms-handler '0n'":           {reason: "no time at all is a deadline", want: statusIs("4", "Deadline Exceeded")},
	"h2-unusual/timeout-300ms-handler '1n'":           {reason: "so little time is a deadline", want: statusIs("4", "Deadline Exceeded")},
	"h2-unusual/timeout-300ms-handler '1u'":           {reason: "so little time is a deadline", want: statusIs("4", "Deadline Exceeded")},
	"h2-unusual/timeout-300ms-handler '0S'":           {reason: "no time at all is a deadline", want: statusIs("4", "Deadline Exceeded")},
	"h2-unusual/timeout-300ms-handler '123456789n'":   {reason: "eight digits are the most", want: statusIs("13", malformed)},
	"h2-unusual/timeout-300ms-handler '+100m'":        {reason: "malformed", want: statusIs("13", malformed)},
	"h2-unusual/timeout-300ms-handler '100 m'":        {reason: "malformed", want: statusIs("13", malformed)},
	"h2-unusual/timeout-300ms-handler '-100m'":        {reason: "malformed", want: statusIs("13", malformed)},
	"h2-unusual/timeout-300ms-handler '100m,100m'":    {reason: "malformed", want: statusIs("13", malformed)},
	"h2-unusual/timeout-300ms-handler '0x64m'":        {reason: "malformed", want: statusIs("13", malformed)},
	"h2-unusual/timeout-300ms-handler '100'":          {reason: "malformed", want: statusIs("13", malformed)},
	"h2-unusual/no-body":                              {reason: "a wrong number of messages is UNIMPLEMENTED (status codes document)", want: statusIs("12", noMessage)},
	"h2-unusual/empty-data-frame":                     {reason: "likewise", want: statusIs("12", noMessage)},
	"h2-unusual/two-messages":                         {reason: "likewise", want: statusIs("12", tooMany)},
	"h2-unusual/extra-bytes":                          {reason: "likewise", want: statusIs("12", tooMany)},
	"h2-unusual/prefix-max":                           {reason: "too large is too large", want: statusIs("8", tooLarge)},
	"h2-unusual/flag-2":                               {reason: "a broken frame is INTERNAL", want: statusIs("13", "The frame has unknown flags.")},
	"h2-unusual/encoding-unknown-flag-1":              {reason: "we have no deflate", want: statusIs("12", "Unsupported grpc-encoding value 'zorp'. Supported encodings: identity, gzip")},
	"h2-unusual/encoding-unknown-flag-0":              {reason: "refused before the handler runs", want: statusIs("12", "Unsupported grpc-encoding value 'zorp'. Supported encodings: identity, gzip")},
	"h2-unusual/encoding-unknown-empty-stream":        {reason: "refused before the handler runs", want: statusIs("12", "Unsupported grpc-encoding value 'zorp'. Supported encodings: identity, gzip")},
	"h2-unusual/gzip-garbage":                         {reason: "a broken frame is INTERNAL", want: statusIs("13", "The message cannot be decompressed.")},
	"h2-unusual/invalid-utf8-string":                  {reason: "a broken message is INTERNAL", want: statusIs("13", notDecoded)},
	"h2-unusual/meta-bin-two-fields":                  {reason: "both values arrive", want: func(o *outcome) { o.Status, o.Message = "0", "" }, skip: true},
	"h2-unusual/meta-bin-empty":                       {reason: "an empty value is sent back too", skip: true},
	"h2-unusual/meta-bin-invalid":                     {reason: "refused before the handler runs", want: statusIs("13", "The value of x-b-bin is not base64.")},
	"h2-unusual/meta-bin-urlsafe":                     {reason: "refused before the handler runs", want: statusIs("13", "The value of x-b-bin is not base64.")},
	"h2-unusual/meta-two-ascii-fields":                {reason: "two fields are two values", skip: true},
	"h2-unusual/meta-ascii-utf8":                      {reason: "metadata is printable ASCII", skip: true},
	"h2-unusual/headers-40kb": {reason: "64 KiB of headers are taken", want: func(o *outcome) {
		*o = outcome{HTTP: "200", Type: "application/grpc", Status: "0", Messages: []string{"1a01612001"}}
	}},
	"h2-unusual/no-end-stream-unary":         {reason: "nothing happens, here as there", skip: true},
	"h2-unusual/reflection-v1":               {reason: "grpc-go's reflection fills in the request and the host", skip: true},
	"h2-unusual/health-list":                 {reason: "grpc-go's health service has List", skip: true},
	"h2-gzip-server/*":                       {reason: "that server compresses what it can; ours has a minimum, and does it by option", skip: true},
	"web-raw/bin-gzip-response-not-accepted": {reason: "only what the client offers", want: func(o *outcome) { o.Encoding = ""; o.Messages = plain(o.Messages) }},
	"web-raw/text-stream-deadline":           {reason: "how many messages come before the deadline depends on the machine", want: func(o *outcome) { o.Messages = nil }},
	"web-raw/ct-plus-proto":                  {reason: "the answer echoes the type", want: mime("application/grpc-web+proto")},
	"web-raw/get":                            {reason: "405 says what is wrong", want: refused("405", "Request method 'GET' is not supported.")},
	"web-raw/put":                            {reason: "405 says what is wrong", want: refused("405", "Request method 'PUT' is not supported.")},
	"web-raw/text-two-padded-chunks":         {reason: "several padded runs are the protocol's", want: func(o *outcome) { o.Status, o.Message, o.Messages = "0", "", []string{"1a01612001"} }},
	"web-raw/text-bad-base64":                {reason: "a text of our own", want: statusIs("13", "The body is not base64.")},
	"web-raw/text-line-breaks":               {reason: "line breaks do no harm", want: func(o *outcome) { o.Status, o.Message, o.Messages = "0", "", []string{"1a01612001"} }},
	"web-raw/bin-empty-body":                 {reason: "a wrong number of messages is UNIMPLEMENTED", want: statusIs("12", noMessage)},
	"web-raw/bin-two-messages-unary":         {reason: "likewise", want: statusIs("12", tooMany)},
	"web-raw/bin-request-trailer-frame":      {reason: "requests have no trailers", want: statusIs("13", "The frame has unknown flags.")},
	"web-raw/bin-bad-timeout":                {reason: "a malformed timeout is an error", want: statusIs("13", malformed)},
}

func plain(messages []string) (out []string) {
	for _, m := range messages {
		out = append(out, strings.TrimPrefix(m, "gzip "))
	}
	return out
}

func exchanges(t *testing.T, file string) []exchange {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "grpc", file+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Exchanges []exchange }
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all.Exchanges
}

// serveStreams serves the gRPC part of the contract on a port.
func serveStreams(t *testing.T) string {
	t.Helper()
	rpc := serveGRPC(slog.New(slog.DiscardHandler))
	srv := &http.Server{Handler: grpcwire.Route(rpc, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }))}
	grpcwire.Configure(srv)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with srv.Close
		defer close(ended)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-ended
	})
	return l.Addr().String()
}

func TestRecordedGRPC(t *testing.T) {
	addr := serveStreams(t)
	unused := maps.Clone(deviations)
	for _, file := range []string{"h2-raw", "h2-unusual", "h2-gzip-server", "web-raw"} {
		for _, x := range exchanges(t, file) {
			name := file + "/" + x.Name
			key := name
			d, listed := deviations[key]
			if !listed {
				key = file + "/*"
				d, listed = deviations[key]
			}
			delete(unused, key)
			t.Run(name, func(t *testing.T) {
				if d.skip {
					t.Skip(d.reason)
				}
				var got, want outcome
				if file == "web-raw" {
					want = recordedWeb(t, &x)
					got = playWeb(t, addr, &x)
				} else {
					want = recordedH2(t, &x)
					got = playH2(t, addr, &x)
				}
				if d.want != nil {
					d.want(&want)
				}
				if strings.HasSuffix(name, "text-stream-deadline") {
					got.Messages = nil
				}
				slices.Sort(got.Custom)
				slices.Sort(want.Custom)
				if got.String() != want.String() {
					t.Errorf("\n got %v\nwant %v", &got, &want)
				}
			})
		}
	}
	for name := range unused {
		t.Errorf("the deviation %s is of no exchange", name)
	}
}

func value(headers [][2]string, name string) string {
	for _, h := range headers {
		if h[0] == name {
			return h[1]
		}
	}
	return ""
}

func recordedH2(t *testing.T, x *exchange) (o outcome) {
	path := value(x.Request.Headers, ":path")
	var body []byte
	for i, f := range x.Frames {
		switch f.Frame {
		case "HEADERS":
			o.headers(f.Headers, i > 0)
		case "DATA":
			b, err := hex.DecodeString(f.Data.Hex)
			if err != nil {
				t.Fatal(err)
			}
			body = append(body, b...)
		}
	}
	o.body(body, path, strings.Contains(o.Type, "grpc-web"))
	return o
}

// data is the request's bytes, in frames.
func (x *exchange) data(t *testing.T) (frames [][]byte, open bool) {
	list := x.Request.DataFrames
	var text string
	switch {
	case list != nil:
	case x.Name == "gzip-bomb":
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		for range 64 {
			_, _ = w.Write(make([]byte, 1<<20))
		}
		_ = w.Close()
		b := append([]byte{1}, binary.BigEndian.AppendUint32(nil, uint32(z.Len()))...)
		return [][]byte{append(b, z.Bytes()...)}, false
	case x.Request.Data == nil:
		return nil, false
	case json.Unmarshal(x.Request.Data, &text) == nil:
		list = []string{text}
	default:
		t.Fatalf("request data %s", x.Request.Data)
	}
	for _, s := range list {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, b)
	}
	return frames, strings.HasSuffix(x.Name, "client-side-open")
}

const patience = 20 * time.Second

func playH2(t *testing.T, addr string, x *exchange) (o outcome) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	fr := http2.NewFramer(conn, conn)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	_ = fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range x.Request.Headers {
		_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	frames, open := x.data(t)
	head := block.Bytes()
	first := true
	for len(head) > 0 || first {
		n := min(len(head), 16<<10)
		if first {
			_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head[:n], EndHeaders: n == len(head), EndStream: frames == nil && !open})
		} else {
			_ = fr.WriteContinuation(1, n == len(head), head[:n])
		}
		head, first = head[n:], false
	}
	for i, f := range frames {
		for len(f) > 16<<10 {
			_ = fr.WriteData(1, false, f[:16<<10])
			f = f[16<<10:]
		}
		_ = fr.WriteData(1, i == len(frames)-1 && !open, f)
	}
	var body []byte
	defer func() { o.body(body, value(x.Request.Headers, ":path"), strings.Contains(o.Type, "grpc-web")) }()
	for headers := 0; ; {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Errorf("read: %v", err)
			return o
		}
		end := false
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = fr.WriteSettingsAck()
			}
		case *http2.PingFrame:
			_ = fr.WritePing(true, f.Data)
		case *http2.MetaHeadersFrame:
			var list [][2]string
			for _, h := range f.Fields {
				list = append(list, [2]string{h.Name, h.Value})
			}
			o.headers(list, headers > 0)
			headers++
			end = f.StreamEnded()
		case *http2.DataFrame:
			body = append(body, f.Data()...)
			end = f.StreamEnded()
		case *http2.RSTStreamFrame:
			o.Custom = append(o.Custom, "RST_STREAM "+f.ErrCode.String())
			return o
		case *http2.GoAwayFrame:
			o.Custom = append(o.Custom, "GOAWAY "+f.ErrCode.String())
			return o
		}
		if end {
			return o
		}
	}
}

func raw(t *testing.T, m json.RawMessage) []byte {
	var text string
	if json.Unmarshal(m, &text) == nil {
		return []byte(text)
	}
	var b struct{ Hex, Text string }
	if err := json.Unmarshal(m, &b); err != nil {
		t.Fatalf("%s: %v", m, err)
	}
	if b.Hex != "" {
		out, err := hex.DecodeString(b.Hex)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	return []byte(b.Text)
}

func path1(head string) string {
	fields := strings.Fields(head)
	if len(fields) < 2 {
		return ""
	}
	return fields[1]
}

func recordedWeb(t *testing.T, x *exchange) (o outcome) {
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(x.ResponseHead)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var list [][2]string
	for k, vs := range res.Header {
		for _, v := range vs {
			list = append(list, [2]string{k, v})
		}
	}
	o.headers(list, false)
	o.HTTP = fmt.Sprint(res.StatusCode)
	var body []byte
	if x.DecodedHex != nil {
		body, err = hex.DecodeString(*x.DecodedHex)
		if err != nil {
			t.Fatal(err)
		}
	} else {
		for _, c := range x.Chunks {
			body = append(body, raw(t, c)...)
		}
	}
	o.body(body, path1(x.RequestHead), true)
	return o
}

func playWeb(t *testing.T, addr string, x *exchange) (o outcome) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	body := []byte(nil)
	if x.RequestBody != nil {
		body = raw(t, x.RequestBody)
	}
	if _, err := conn.Write(append([]byte(x.RequestHead), body...)); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: strings.Fields(x.RequestHead)[0]})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var list [][2]string
	for k, vs := range res.Header {
		for _, v := range vs {
			list = append(list, [2]string{k, v})
		}
	}
	o.headers(list, false)
	o.HTTP = fmt.Sprint(res.StatusCode)
	if strings.Contains(o.Type, "-text") {
		got = textRuns(t, string(got))
	}
	o.body(got, path1(x.RequestHead), true)
	return o
}

// textRuns decodes base64 in runs, each padded on its own.
func textRuns(t *testing.T, s string) (out []byte) {
	for len(s) >= 4 {
		b, err := base64.StdEncoding.DecodeString(s[:4])
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		out = append(out, b...)
		s = s[4:]
	}
	if s != "" {
		t.Fatalf("%q is left over", s)
	}
	return out
}
