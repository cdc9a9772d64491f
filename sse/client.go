package sse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// A Client reads an event stream over HTTP, and connects again when it breaks.
//
//	client := sse.NewClient("https://example.com/events", nil)
//	for ev, err := range client.Events(ctx) {
//		if err != nil {
//			return err // for good: the client has given up
//		}
//		use(ev)
//	}
//
// A request to a language model is one too, with a body and one answer:
//
//	client := sse.NewClient(url, &sse.ClientOptions{
//		Method: "POST",
//		Header: http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + key}},
//		Body:   body,
//		End:    func(ev sse.Event[string]) bool { return ev.Data == "[DONE]" },
//	})
//
// A Client keeps the last event id and the server's reconnection time between two
// ranges over Events, of which there may be one at a time. The other methods may
// be called from any goroutine. It owns no goroutine.
type Client struct {
	url  string
	opts ClientOptions
	http http.Client

	mu     sync.Mutex // guards the following
	busy   bool
	lastID string
	retry  time.Duration           // the server's; negative: it named none
	moved  string                  // where a permanent redirection led
	cancel context.CancelCauseFunc // of the attempt or the wait that is under way
}

// Reconnect says when a Client connects again.
type Reconnect uint8

// When a client connects again.
const (
	// Resilient is for programs that are to stay connected. After the end of a
	// stream, a network error, or an answer that says "later" (408, 425, 429 and
	// 5xx but 501 and 505) the client waits at least the server's reconnection
	// time, or Delay where it named none, and a random time on top, which doubles
	// with each attempt that brings no event. A Retry-After is kept. It gives up
	// at any other answer, 204 being an ordinary end.
	Resilient Reconnect = iota + 1
	// EventSource does what the HTML standard asks of browsers, section 9.2: it
	// connects again after the end of a stream and network errors, always after
	// the same time, and gives up at every answer but an event stream; 204 is an
	// ordinary end.
	EventSource
	// Never makes one request. The end of the answer is the end; if it was cut
	// off, that is an error.
	Never
)

// ClientOptions configure a Client. Nil and the zero value of each field mean the
// default.
type ClientOptions struct {
	// Reconnect says when the client connects again. Defaults to Resilient for
	// GET, which may be repeated, and to Never for all other methods.
	Reconnect Reconnect

	// Method is the request's. Defaults to GET, or to POST if there is a Body.
	Method string
	// Body is sent with every request.
	Body []byte
	// Header is sent with every request. It may replace Accept and Cache-Control,
	// which are otherwise "text/event-stream" and "no-cache".
	Header http.Header
	// Prepare is called with every request before it is sent, to change it: a
	// fresh token, another query. Its error is the end.
	Prepare func(*http.Request) error

	// HTTPClient sends the requests. Its Timeout is not used, as it would cut
	// streams off. Defaults to one with http.DefaultTransport.
	HTTPClient *http.Client

	// LastEventID is the last event id of the first request. Defaults to none.
	LastEventID string

	// Delay is the reconnection time as long as the server names none. Defaults
	// to 1 s, and to 3 s with EventSource.
	Delay time.Duration
	// MaxDelay bounds what failures make of it. It does not bound what the server
	// asks for. Defaults to 30 s.
	MaxDelay time.Duration
	// ReadTimeout is how long a connection may bring nothing, its head included,
	// before it is taken for broken. Two or three times the server's heartbeat is
	// a good value. Defaults to no bound: a dead peer is then noticed by TCP's
	// keep-alive alone, after about two and a half minutes.
	ReadTimeout time.Duration

	// MaxLine and MaxEvent bound lines and events in bytes, as in ParserOptions.
	// Default to 16 MiB; negative is no bound. What is longer is the end.
	MaxLine, MaxEvent int

	// End reports whether an event says that the stream is complete, such as
	// "[DONE]". That event is not given to the range, which ends without an error.
	End func(Event[string]) bool
	// Again decides about err in place of Reconnect: whether the client connects
	// again after it. io.EOF is the end of a stream, *ResponseError an answer that
	// is none.
	Again func(err error) bool

	// Opened is called when a connection is open.
	Opened func(*http.Response)
	// Failed is called when a connection has failed or ended and the client is
	// about to connect again, wait from now.
	Failed func(err error, wait time.Duration)
	// Comment is called with each comment, without its colon. text is valid
	// during the call.
	Comment func(text []byte)
}

func (o *ClientOptions) withDefaults() ClientOptions {
	var d ClientOptions
	if o != nil {
		d = *o
	}
	if d.Method == "" {
		d.Method = http.MethodGet
		if d.Body != nil {
			d.Method = http.MethodPost
		}
	}
	if d.Reconnect == 0 {
		d.Reconnect = Never
		if d.Method == http.MethodGet {
			d.Reconnect = Resilient
		}
	}
	if d.Delay <= 0 {
		d.Delay = time.Second
		if d.Reconnect == EventSource {
			d.Delay = 3 * time.Second
		}
	}
	if d.MaxDelay <= 0 {
		d.MaxDelay = 30 * time.Second
	}
	d.Header = maps.Clone(d.Header)
	return d
}

// NewClient makes a Client of the stream at rawURL. Nothing is sent before Events.
func NewClient(rawURL string, opts *ClientOptions) *Client {
	c := &Client{url: rawURL, opts: opts.withDefaults(), retry: -1}
	c.lastID = c.opts.LastEventID
	if c.opts.HTTPClient != nil {
		c.http = *c.opts.HTTPClient
	}
	c.http.Timeout = 0
	c.http.CheckRedirect = c.checkRedirect(c.http.CheckRedirect)
	return c
}

var (
	// ErrBusy is the error of a range over a Client's Events while there is
	// another.
	ErrBusy = errors.New("sse: client: there is a range over its events already")

	errEnd       = errors.New("the stream is complete")
	errRestart   = errors.New("sse: client: restarted")
	errQuiet     = errors.New("sse: client: nothing has come for the read timeout")
	errRedirects = errors.New("more than 10 redirections")
	errURL       = errors.New("neither http nor https, or no host")
)

// LastEventID is what the client would reconnect with.
func (c *Client) LastEventID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastID
}

// Restart drops the connection, or the wait for the next one, and connects again
// at once. It does nothing while there is no range over Events.
func (c *Client) Restart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel(errRestart)
	}
}

// Events ranges over the events, across reconnections. An error is the last item:
// the client has given up, or ctx has ended. Leaving the loop closes the
// connection.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event[string], error] {
	return func(yield func(Event[string], error) bool) {
		if !c.take() {
			yield(Event[string]{}, ErrBusy)
			return
		}
		defer c.release()
		for failures := 0; ; {
			a := &attempt{c: c, yield: yield}
			err := c.cancellable(ctx, a.run)
			if a.left {
				return
			}
			if a.events > 0 {
				failures = 0
			}
			switch {
			case ctx.Err() != nil:
				yield(Event[string]{}, context.Cause(ctx))
				return
			case err == errEnd:
				return
			case errors.Is(err, errRestart):
				continue
			case !c.again(err):
				if err == io.EOF {
					return
				}
				yield(Event[string]{}, err)
				return
			}
			wait := c.wait(failures, err)
			failures++
			if c.opts.Failed != nil {
				c.opts.Failed(err, wait)
			}
			_ = c.cancellable(ctx, func(ctx context.Context) error {
				timer := time.NewTimer(wait)
				defer timer.Stop()
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
				return nil
			})
			if ctx.Err() != nil {
				yield(Event[string]{}, context.Cause(ctx))
				return
			}
		}
	}
}

func (c *Client) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy {
		return false
	}
	c.busy = true
	return true
}

func (c *Client) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
}

// cancellable runs do with a context that Restart ends.
func (c *Client) cancellable(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.mu.Lock()
	c.cancel = cancel
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.cancel = nil
		c.mu.Unlock()
	}()
	return do(ctx)
}

// again decides whether the client connects again after err.
func (c *Client) again(err error) bool {
	if c.opts.Again != nil {
		return c.opts.Again(err)
	}
	if c.opts.Reconnect == Never || final(err) {
		return false
	}
	if r, ok := errors.AsType[*ResponseError](err); ok {
		return c.opts.Reconnect == Resilient && r.later()
	}
	return true
}

// What the server may ask for.
const (
	minWait = 100 * time.Millisecond // Chromium has no lower bound, Firefox has 500 ms
	maxWait = time.Hour
)

// wait is how long the client waits before it connects again.
func (c *Client) wait(failures int, err error) time.Duration {
	c.mu.Lock()
	base := c.retry
	c.mu.Unlock()
	if base < 0 {
		base = c.opts.Delay
	} else {
		base = min(max(base, minWait), maxWait)
	}
	if c.opts.Reconnect == EventSource {
		return base
	}
	room := base
	for range failures {
		if room *= 2; room >= c.opts.MaxDelay {
			break
		}
	}
	wait := base + rand.N(min(room, c.opts.MaxDelay)+1)
	wait = min(wait, max(base, c.opts.MaxDelay))
	if r, ok := errors.AsType[*ResponseError](err); ok {
		if asked := r.retryAfter(); asked > wait {
			wait = min(asked, maxWait) + rand.N(c.opts.Delay)
		}
	}
	return wait
}

// checkRedirect follows up to ten redirections, and remembers where permanent
// ones led, on the same host: to another one the credentials in Header must not
// go directly.
func (c *Client) checkRedirect(next func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(r *http.Request, via []*http.Request) error {
		if next != nil {
			if err := next(r, via); err != nil {
				return err
			}
		} else if len(via) >= 10 {
			return errRedirects
		}
		if a, _ := r.Context().Value(attemptKey{}).(*attempt); a != nil && r.Response != nil {
			switch r.Response.StatusCode {
			case http.StatusMovedPermanently, http.StatusPermanentRedirect:
				if first := via[0]; !a.temporary && r.Method == first.Method && r.URL.Host == first.URL.Host && r.URL.Scheme == first.URL.Scheme {
					a.moved = r.URL.String()
					break
				}
				a.temporary = true
			default:
				a.temporary = true
			}
		}
		return nil
	}
}

// request makes the request of an attempt.
func (c *Client) request(ctx context.Context) (*http.Request, error) {
	c.mu.Lock()
	target, lastID := c.url, c.lastID
	if c.moved != "" {
		target = c.moved
	}
	c.mu.Unlock()
	if u, err := url.Parse(target); err == nil && c.opts.HTTPClient == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return nil, &setupError{fmt.Errorf("sse: client: URL %q: %w", target, errURL)}
	}
	r, err := http.NewRequestWithContext(ctx, c.opts.Method, target, body(c.opts.Body))
	if err != nil {
		return nil, &setupError{fmt.Errorf("sse: client: %w", err)}
	}
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Cache-Control", "no-cache")
	for k, v := range c.opts.Header {
		if k == "Host" && len(v) > 0 {
			r.Host = v[0]
		}
		r.Header[http.CanonicalHeaderKey(k)] = v
	}
	if lastID != "" && sendable(lastID) {
		r.Header.Set("Last-Event-ID", lastID)
	}
	if c.opts.Prepare != nil {
		if err := c.opts.Prepare(r); err != nil {
			return nil, &setupError{fmt.Errorf("sse: client: prepare: %w", err)}
		}
	}
	return r, nil
}
