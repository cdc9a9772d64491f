// Centrifuge is github.com/centrifugal/centrifuge with one channel, "bench",
// that everybody may subscribe to and publish to, and an RPC that answers with
// its data. It is tuned as its documentation allows: small buffers and a pool
// for writing, commands off the reading goroutine (less memory), and no limit on
// how many waiting messages go in one frame (better gathering).
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"time"

	"github.com/centrifugal/centrifuge"
	"github.com/hubwire/hubwire/bench/internal/control"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	ctl := flag.String("ctl", "", "where the control port listens")
	direct := flag.Bool("reply-without-queue", false, "answers do not go through the writer's queue")
	flag.Parse()
	control.Serve(*ctl)
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		log.Fatal(err)
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}, MaxMessagesInFrame: -1, ReplyWithoutQueue: *direct}, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, cb centrifuge.SubscribeCallback) {
			cb(centrifuge.SubscribeReply{}, nil)
		})
		c.OnPublish(func(_ centrifuge.PublishEvent, cb centrifuge.PublishCallback) { cb(centrifuge.PublishReply{}, nil) })
		c.OnRPC(func(e centrifuge.RPCEvent, cb centrifuge.RPCCallback) { cb(centrifuge.RPCReply{Data: e.Data}, nil) })
	})
	if err := node.Run(); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/bench", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		ReadBufferSize: 512, UseWriteBufferPool: true, ProcessCommandsOffReadLoop: true,
	}))
	srv := &http.Server{Addr: *addr, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(srv.ListenAndServe())
}
