package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxRedirects is how many negotiations in a row may end with a redirect, as in
// the official clients (section 1.4).
const maxRedirects = 100

// maxNegotiation is the largest answer to a negotiate.
const maxNegotiation = 64 << 10

// A negotiation is the server's answer (section 1.3).
type negotiation struct {
	Error               string `json:"error"`
	URL                 string `json:"url"`
	AccessToken         string `json:"accessToken"`
	Version             int    `json:"negotiateVersion"`
	ID                  string `json:"connectionId"`
	Token               string `json:"connectionToken"`
	Stateful            bool   `json:"useStatefulReconnect"`
	AvailableTransports []struct {
		Transport string   `json:"transport"`
		Formats   []string `json:"transferFormats"`
	} `json:"availableTransports"`
	ProtocolVersion *json.RawMessage `json:"ProtocolVersion"` // of ASP.NET SignalR, without Core
}

// negotiate asks the server for a connection, and goes where it is sent.
func (c *Conn) negotiate(ctx context.Context) (*endpoint, *negotiation, error) {
	e := &endpoint{conn: c, hub: c.url}
	if err := e.renewToken(ctx); err != nil {
		return nil, nil, err
	}
	for range maxRedirects {
		n, err := e.negotiate(ctx)
		if err != nil {
			return nil, nil, err
		}
		if n.URL == "" {
			e.id = n.Token
			if n.Version == 0 {
				e.id = n.ID
			}
			return e, n, nil
		}
		to, err := e.hub.Parse(n.URL)
		if err == nil {
			to, err = httpURL(to)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("negotiate: redirect: %w", err)
		}
		next := &endpoint{conn: c, hub: to, token: e.token, fixed: e.fixed}
		if n.AccessToken != "" {
			next.token, next.fixed = n.AccessToken, true
		}
		e = next
	}
	return nil, nil, errors.New("negotiate: redirection limit exceeded: the server sent us on 100 times")
}

// negotiate makes one request.
func (e *endpoint) negotiate(ctx context.Context) (*negotiation, error) {
	query := ""
	if !e.hub.Query().Has("negotiateVersion") {
		query = "negotiateVersion=1"
	}
	opts := &e.conn.opts
	if opts.Stateful && opts.Transports&WebSockets != 0 {
		query = strings.TrimPrefix(query+"&useStatefulReconnect=true", "&")
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	resp, err := e.do(ctx, request{
		act: actNegotiate, client: e.conn.short, final: true,
		method: http.MethodPost, url: e.with("negotiate", query), typ: "text/plain;charset=UTF-8",
	})
	if err != nil {
		return nil, err
	}
	defer drain(resp)
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxNegotiation+1))
	if err != nil {
		return nil, requestError(actNegotiate, err)
	}
	if len(b) > maxNegotiation {
		return nil, fmt.Errorf("negotiate: the answer is longer than %d bytes", maxNegotiation)
	}
	return parseNegotiation(b)
}

func parseNegotiation(b []byte) (*negotiation, error) {
	var n negotiation
	if err := json.Unmarshal(b, &n); err != nil {
		return nil, fmt.Errorf("negotiate: the answer is not a hub's: %w", err)
	}
	switch {
	case n.Error != "":
		return nil, fmt.Errorf("negotiate: the server says: %s", n.Error)
	case n.ProtocolVersion != nil:
		return nil, errors.New("negotiate: the server is ASP.NET SignalR, not ASP.NET Core SignalR; this client cannot speak to it")
	case n.URL != "":
	case n.ID == "":
		return nil, errors.New("negotiate: the answer is not a hub's: it has no connectionId")
	case n.Version > 0 && n.Token == "":
		return nil, errors.New("negotiate: the answer has no connectionToken")
	}
	return &n, nil
}

// httpURL checks the URL of a hub; ws and wss mean http and https.
func httpURL(u *url.URL) (*url.URL, error) {
	v := *u
	switch strings.ToLower(v.Scheme) {
	case "ws":
		v.Scheme = "http"
	case "wss":
		v.Scheme = "https"
	case "http", "https":
	default:
		return nil, fmt.Errorf("the scheme %q is not http, https, ws or wss", u.Scheme)
	}
	if v.Host == "" {
		return nil, errors.New("the URL has no host")
	}
	v.Fragment, v.RawFragment = "", ""
	return &v, nil
}
