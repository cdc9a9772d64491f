module github.com/hubwire/hubwire/test/e2e

go 1.26.0

require (
	github.com/coder/websocket v1.8.15
	github.com/gorilla/websocket v1.5.3
	github.com/hubwire/hubwire v0.0.0
)

require github.com/go-jose/go-jose/v4 v4.1.9 // indirect

replace github.com/hubwire/hubwire => ../..
