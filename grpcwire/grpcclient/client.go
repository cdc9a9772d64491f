// Package grpcclient has the settings that long-lived clients of grpc-go need
// and easily miss:
//
//	cc, err := grpc.NewClient("dns:///chat.internal:8080", grpcclient.DialOptions(&grpcclient.Options{
//		TLS:   &tls.Config{},
//		Token: func(ctx context.Context) (string, error) { return tokens.Get(ctx) },
//	})...)
//
// One *grpc.ClientConn is made for each service, kept, and used by many
// goroutines. The scheme dns:/// and round_robin spread calls over all addresses
// of a name; without them the first address gets everything. Long streams move
// only when they are opened anew, so servers should have a MaxConnectionAge.
// Every call should have a deadline, and every stream that is sent to its
// CloseSend.
package grpcclient

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// Options configure DialOptions. A nil *Options and the zero value of each field
// mean the default.
type Options struct {
	// TLS is the configuration of the transport. Nil is none: plaintext, for
	// networks that are safe.
	TLS *tls.Config

	// Token gives the bearer token of a call, for each call. It is not sent in
	// plaintext unless InsecureToken says so.
	Token         func(ctx context.Context) (string, error)
	InsecureToken bool

	// KeepAlive is after how long without anything from the server it is pinged,
	// and KeepAliveTimeout how long its answer is awaited, also while there is no
	// call. Not less than 10 s, which servers punish. Default to 60 s and 30 s.
	KeepAlive, KeepAliveTimeout time.Duration

	// Attempts is how often a call is made in all while the server answers
	// UNAVAILABLE before anything else. Defaults to 4; 1 is no retry.
	Attempts int

	// FailFast fails calls while there is no connection. By default they wait for
	// one, until their deadline.
	FailFast bool
}

// check returns one sentence for each rule that the options break.
func (o *Options) check() (bad []string) {
	if o.KeepAlive < 10*time.Second {
		bad = append(bad, fmt.Sprintf("KeepAlive is %v; it must be at least 10 s", o.KeepAlive))
	}
	if o.KeepAliveTimeout <= 0 {
		bad = append(bad, fmt.Sprintf("KeepAliveTimeout is %v; it must be positive", o.KeepAliveTimeout))
	}
	if o.Attempts < 1 || o.Attempts > 5 {
		bad = append(bad, fmt.Sprintf("Attempts is %d; it must be 1 to 5", o.Attempts))
	}
	if o.Token != nil && o.TLS == nil && !o.InsecureToken {
		bad = append(bad, "Token is set without TLS; InsecureToken allows that")
	}
	return bad
}

// DialOptions are options for grpc.NewClient. It panics with a sentence for
// every rule that opts breaks.
func DialOptions(opts *Options) []grpc.DialOption {
	var o Options
	if opts != nil {
		o = *opts
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = time.Minute
	}
	if o.KeepAliveTimeout == 0 {
		o.KeepAliveTimeout = 30 * time.Second
	}
	if o.Attempts == 0 {
		o.Attempts = 4
	}
	if bad := o.check(); len(bad) > 0 {
		panic("grpcclient: options: " + strings.Join(bad, "; "))
	}
	transport := insecure.NewCredentials()
	if o.TLS != nil {
		transport = credentials.NewTLS(o.TLS)
	}
	all := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: o.KeepAlive, Timeout: o.KeepAliveTimeout, PermitWithoutStream: true}),
		grpc.WithDefaultServiceConfig(ServiceConfig(o.Attempts, !o.FailFast)),
	}
	if o.Token != nil {
		all = append(all, grpc.WithPerRPCCredentials(&bearer{o.Token, o.TLS != nil}))
	}
	return all
}

// ServiceConfig is a service config for all methods: round_robin, so many
// attempts while the server is UNAVAILABLE, and whether calls wait for a
// connection.
func ServiceConfig(attempts int, wait bool) string {
	type retry struct {
		MaxAttempts          int      `json:"maxAttempts"`
		InitialBackoff       string   `json:"initialBackoff"`
		MaxBackoff           string   `json:"maxBackoff"`
		BackoffMultiplier    float64  `json:"backoffMultiplier"`
		RetryableStatusCodes []string `json:"retryableStatusCodes"`
	}
	type method struct {
		Name         []struct{} `json:"name"`
		WaitForReady bool       `json:"waitForReady"`
		RetryPolicy  *retry     `json:"retryPolicy,omitempty"`
	}
	m := method{Name: []struct{}{{}}, WaitForReady: wait}
	if attempts > 1 {
		m.RetryPolicy = &retry{attempts, "0.1s", "2s", 2, []string{"UNAVAILABLE"}}
	}
	b, err := json.Marshal(map[string]any{"loadBalancingConfig": []any{map[string]any{"round_robin": struct{}{}}}, "methodConfig": []method{m}})
	if err != nil {
		panic(err) // nothing in it can fail
	}
	return string(b)
}

// bearer is the token of a call, as metadata.
type bearer struct {
	token  func(ctx context.Context) (string, error)
	secure bool
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b *bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	t, err := b.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("grpcclient: token: %w", err)
	}
	return map[string]string{"authorization": "Bearer " + t}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (b *bearer) RequireTransportSecurity() bool { return b.secure }
