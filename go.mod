module github.com/hubwire/hubwire

go 1.26
