package grpchub_test

import (
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

var codec = encoding.GetCodecV2(proto.Name)

// discard is a codec of grpc-go that does not decode.
type discard struct{}

func (discard) Marshal(v any) (mem.BufferSlice, error) { return codec.Marshal(v) }
func (discard) Unmarshal(mem.BufferSlice, any) error   { return nil }
func (discard) Name() string                           { return proto.Name }
