module github.com/hubwire/hubwire

go 1.26

require github.com/go-jose/go-jose/v4 v4.1.9

require github.com/coder/websocket v1.8.15
