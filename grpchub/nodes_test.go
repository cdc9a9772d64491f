package grpchub_test

import (
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/grpchub"
	"github.com/hubwire/hubwire/grpchub/hubgrpc"
	"github.com/hubwire/hubwire/grpchub/hubpb"
	"github.com/hubwire/hubwire/grpcwire"
	"github.com/hubwire/hubwire/hubtest"
)

// Members of a group are on whatever node they are: connections, watchers, and
// whom a publisher moves.
func TestNodes(t *testing.T) {
	bp := hubtest.NewBackplane()
	var ccs []*grpc.ClientConn
	for range 2 {
		h := newHub(&hubwire.Options{Name: "chat", Backplane: bp.Node()})
		x := serve(t, hubs(h), &grpcwire.Options{Middleware: users}, &grpchub.Options{Publish: func(*hubwire.User) bool { return true }}, func(rpc *grpcwire.Handler) {
			rpc.Handle(grpcwire.Method{Name: "/user.Notes/Watch", ServerStreams: true, Serve: func(s *grpcwire.Stream) error {
				var group wrapperspb.StringValue
				if err := s.Recv(&group); err != nil {
					return err
				}
				return mapping.Watch(s.Context(), h, group.Value)
			}})
		})
		ccs = append(ccs, x.conn(t))
	}
	ctx := as(t, "")
	watch := must(ccs[0].NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/user.Notes/Watch"))
	if err := errors.Join(watch.SendMsg(wrapperspb.String("room")), watch.CloseSend()); err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Header(); err != nil {
		t.Fatal(err)
	}
	sub := must(hubgrpc.NewHubClient(ccs[0]).Subscribe(ctx, &hubpb.SubscribeRequest{Hello: &hubpb.Hello{Hub: "chat", Encoding: hubpb.Encoding_MSGPACK}}))
	id := must(sub.Recv()).GetWelcome().ConnectionId
	pub := hubgrpc.NewHubPublisherClient(ccs[1])
	must(pub.EditGroup(ctx, &hubpb.EditGroupRequest{Hub: "chat", ConnectionId: id, Join: []string{"room"}}))
	to := &hubpb.Audience{To: &hubpb.Audience_Group{Group: "room"}}
	must(pub.Publish(ctx, &hubpb.PublishRequest{Hub: "chat", To: to, Target: "Said", Args: [][]byte{[]byte(`"node 2"`), []byte(`"hi"`)}}))
	var m wrapperspb.StringValue
	if err := watch.RecvMsg(&m); err != nil || m.Value != "node 2: hi" {
		t.Errorf("the watcher has %q, %v", m.Value, err)
	}
	if inv := must(sub.Recv()).GetInvocation(); inv.GetTarget() != "Said" || string(inv.Args[1]) != "\xa2hi" {
		t.Errorf("the subscriber has %v", inv)
	}
}
