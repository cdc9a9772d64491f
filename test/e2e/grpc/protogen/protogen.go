// Package protogen compiles .proto files and runs the plugins of this module's
// go.mod on them, so that nothing but Go has to be installed.
package protogen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// Generate compiles files, which lie below dir by their import paths, and gives
// what the plugin (protoc-gen-go or protoc-gen-go-grpc) makes of them, by name.
// module is the folder of this module.
func Generate(ctx context.Context, module, dir, plugin, parameter string, files ...string) (map[string]string, error) {
	c := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{dir}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	linked, err := c.Compile(ctx, files...)
	if err != nil {
		return nil, fmt.Errorf("protogen: %w", err)
	}
	req := &pluginpb.CodeGeneratorRequest{
		FileToGenerate:  files,
		Parameter:       &parameter,
		CompilerVersion: &pluginpb.Version{Major: proto.Int32(6), Minor: proto.Int32(33), Patch: proto.Int32(0)},
	}
	seen := map[string]bool{}
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		d := proto.Clone(protoutil.ProtoFromFileDescriptor(f)).(*descriptorpb.FileDescriptorProto)
		req.ProtoFile = append(req.ProtoFile, d)
	}
	for _, f := range linked {
		add(f)
	}
	in, err := proto.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("protogen: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "tool", plugin)
	cmd.Dir = module
	cmd.Stdin = bytes.NewReader(in)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("protogen: %s: %w\n%s", plugin, err, stderr.String())
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return nil, fmt.Errorf("protogen: %s: %w", plugin, err)
	}
	if resp.Error != nil {
		return nil, errors.New("protogen: " + plugin + ": " + *resp.Error)
	}
	made := map[string]string{}
	for _, f := range resp.File {
		made[f.GetName()] = f.GetContent()
	}
	return made, nil
}

// A Target is generated code that is committed.
type Target struct {
	Dir    string // with the .proto, from the root of the repository
	Files  []string
	Plugin string
}

// Targets is all of it.
var Targets = []Target{
	{"test/conformance/streamspb", []string{"streams.proto"}, "protoc-gen-go"},
	{"test/conformance/streamspb", []string{"streams.proto"}, "protoc-gen-go-grpc"},
	{".", []string{"grpchub/hubpb/hub.proto"}, "protoc-gen-go"},
	{".", []string{"grpchub/hubgrpc/hub_service.proto"}, "protoc-gen-go"},
	{".", []string{"grpchub/hubgrpc/hub_service.proto"}, "protoc-gen-go-grpc"},
}
