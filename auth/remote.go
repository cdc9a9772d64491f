package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	fetchTime  = 10 * time.Second // for one document, redirects included
	fetchBytes = 1 << 20          // of one document

	leastLife = 5 * time.Minute // of a document, whatever its Cache-Control says
	usualLife = time.Hour       // where it says nothing
	mostLife  = 24 * time.Hour

	// grace is for how long keys are used past their life if newer ones cannot
	// be had.
	grace = 24 * time.Hour

	// betweenReads is the least time from a read to the next for the sake of an
	// unknown key. Anybody can make up tokens of unknown keys.
	betweenReads = 30 * time.Second

	// After the n-th failure in a row nothing is read for 2^(n-1) s, at most:
	mostPause = time.Minute
)

// A remote is a key set that is read from an address. All methods may be called
// at the same time.
type remote struct {
	set    string // the key set's URL; empty: it is discovered
	issuer string // the URL that it is discovered at
	client *http.Client
	log    *slog.Logger

	mu       sync.Mutex // guards the following
	keys     []key
	good     time.Time // until when keys are used without reading them again
	usable   time.Time // until when they are used at all; zero: none were read yet
	next     time.Time // nothing is read before
	failures int       // in a row
	flight   *flight   // the read under way, or nil

	// written by the flight only

	found      string    // the URL that was discovered
	foundUntil time.Time // how long it is good for
}

// A flight is one read of a key set, for all who need it.
type flight struct {
	done chan struct{} // closed at its end
}

// An unavailable is the error of keys that cannot be had now.
type unavailable struct{ retry time.Duration }

func (u *unavailable) Error() string { return "auth: no keys could be read" }

// current returns the keys to use. It waits only where there are none.
func (r *remote) current(ctx context.Context) ([]key, error) {
	r.mu.Lock()
	now := time.Now()
	if now.Before(r.usable) {
		if !now.Before(r.good) {
			r.startLocked(now)
		}
		defer r.mu.Unlock()
		return r.keys, nil
	}
	f := r.startLocked(now)
	r.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); !now.Before(r.usable) {
		return nil, &unavailable{max(r.next.Sub(now), time.Second)}
	}
	return r.keys, nil
}

// newer returns keys that are read anew, if it may read them now and can, and
// else the old ones.
func (r *remote) newer(ctx context.Context) ([]key, error) {
	r.mu.Lock()
	f := r.startLocked(time.Now())
	r.mu.Unlock()
	if err := f.wait(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys, nil
}

// startLocked returns the read under way, or begins one; nil where it is too
// early for one.
func (r *remote) startLocked(now time.Time) *flight {
	if r.flight == nil && !now.Before(r.next) {
		r.flight = &flight{done: make(chan struct{})}
		go r.fly(r.flight) // ends when the documents are read, after 2*fetchTime at most
	}
	return r.flight
}

// wait waits for the end of a flight. There may be none.
func (f *flight) wait(ctx context.Context) error {
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fly reads the key set and keeps what it gets.
func (r *remote) fly(f *flight) {
	keys, life, err := r.read()
	r.mu.Lock()
	now := time.Now()
	if err == nil {
		r.keys, r.failures = keys, 0
		r.good, r.usable, r.next = now.Add(life), now.Add(life+grace), now.Add(betweenReads)
	} else {
		pause := min(time.Second<<min(r.failures, 10), mostPause)
		r.failures++
		r.next = now.Add(pause)
	}
	r.flight = nil
	close(f.done)
	r.mu.Unlock()
	if err != nil {
		r.log.Warn("auth: keys could not be read", "err", err)
	}
}

// read reads the key set, and the document that says where it is before, if
// need be. life is how long the keys are good for.
func (r *remote) read() (keys []key, life time.Duration, err error) {
	defer func() {
		if v := recover(); v != nil { // the client may be anybody's code
			err = fmt.Errorf("auth: read the key set: panic: %v", v)
		}
	}()
	set := r.set
	if set == "" {
		if set, err = r.discover(); err != nil {
			return nil, 0, err
		}
	}
	data, life, err := r.get(set)
	if err == nil {
		var skipped []string
		if keys, skipped, err = parseKeySet(data); len(skipped) > 0 {
			r.log.Warn("auth: keys of the key set cannot be used", "keys", skipped)
		}
	}
	if err != nil {
		r.foundUntil = time.Time{} // it may have moved
		return nil, 0, fmt.Errorf("auth: read the key set: %w", err)
	}
	return keys, life, nil
}

// discover finds the URL of the key set (OpenID Connect Discovery 1.0, sections
// 4.1 to 4.3).
func (r *remote) discover() (string, error) {
	if time.Now().Before(r.foundUntil) {
		return r.found, nil
	}
	data, life, err := r.get(strings.TrimSuffix(r.issuer, "/") + "/.well-known/openid-configuration")
	if err != nil {
		return "", fmt.Errorf("auth: discover the key set: %w", err)
	}
	var doc struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	switch err := json.Unmarshal(data, &doc); {
	case err != nil:
		return "", errors.New("auth: discover the key set: the document is not JSON")
	case doc.Issuer != r.issuer:
		return "", fmt.Errorf("auth: discover the key set: the document is of the issuer %q, not of %q", doc.Issuer, r.issuer)
	case !validURL(doc.Keys) || strings.HasPrefix(r.issuer, "https:") && !strings.HasPrefix(doc.Keys, "https:"):
		return "", fmt.Errorf("auth: discover the key set: jwks_uri is %q; it must be an https URL", doc.Keys)
	}
	r.found, r.foundUntil = doc.Keys, time.Now().Add(life)
	return r.found, nil
}

// get reads one document, within bounds, and how long it is good for.
func (r *remote) get(address string) (data []byte, life time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Accept", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("%s: status %d", req.URL.Redacted(), res.StatusCode)
	}
	data, err = io.ReadAll(io.LimitReader(res.Body, fetchBytes+1))
	switch {
	case err != nil:
		return nil, 0, fmt.Errorf("%s: %w", req.URL.Redacted(), err)
	case len(data) > fetchBytes:
		return nil, 0, fmt.Errorf("%s: more than %d bytes", req.URL.Redacted(), fetchBytes)
	}
	return data, lifeOf(res.Header), nil
}

// lifeOf is how long an answer is good for, by its Cache-Control (RFC 9111,
// section 5.2.2), within bounds.
func lifeOf(h http.Header) time.Duration {
	life := usualLife
	for d := range strings.SplitSeq(strings.Join(h["Cache-Control"], ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(d)), "=")
		switch name {
		case "no-store", "no-cache":
			return leastLife
		case "max-age":
			s, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if errors.Is(err, strconv.ErrRange) {
				life = mostLife
			} else if err == nil {
				life = time.Duration(s) * time.Second
			}
		}
	}
	return min(max(life, leastLife), mostLife)
}

// defaultClient keeps no connection: it is needed about once an hour.
func defaultClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 64 << 10,
		TLSHandshakeTimeout:    fetchTime,
	}}
}

// careful is a client that follows few redirects, and none to where others can
// read and write along.
func careful(c *http.Client) *http.Client {
	if c.CheckRedirect != nil {
		return c
	}
	d := *c
	d.CheckRedirect = func(to *http.Request, via []*http.Request) error {
		switch {
		case len(via) > 3:
			return errors.New("too many redirects")
		case via[0].URL.Scheme == "https" && to.URL.Scheme != "https":
			return errors.New("a redirect from https to another scheme")
		}
		return nil
	}
	return &d
}
