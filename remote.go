package hubwire

import "context"

// A Backplane joins hubs on many nodes.
type Backplane interface{}

type remote struct{}

func newRemote(h *Hub) *remote { return nil }

func (r *remote) deliver(ctx context.Context, kind targetKind, names, except []string, m *message) error {
	return nil
}

func (h *Hub) subscribe(ctx context.Context, kind targetKind, name string) error { return nil }

func (h *Hub) unsubscribe(kind targetKind, names ...string) {}

func (h *Hub) closeRemote(ctx context.Context) error { return nil }

func (h *Hub) moveRemote(ctx context.Context, join bool, connID string, groups []string) error {
	return nil
}

func (h *Hub) askRemote(ctx context.Context, id, name string, lay *layout, in, into any) error {
	return fmtUnknown(id)
}
