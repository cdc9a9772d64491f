module github.com/hubwire/hubwire/test/e2e

go 1.26

require github.com/hubwire/hubwire v0.0.0

replace github.com/hubwire/hubwire => ../..
