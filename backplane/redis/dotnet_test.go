package redis_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
	"github.com/hubwire/hubwire/signalr/client"
)

// startDotnet starts a node of ASP.NET Core on the test's Redis.
func startDotnet(t *testing.T, s *server, prefix string) string {
	t.Helper()
	dir := os.Getenv("HUBWIRE_PEERS_DIR")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "peers")
	}
	run := filepath.Join(dir, "run")
	if _, err := os.Stat(run); err != nil {
		t.Skipf("the .NET peers are not in %s (set HUBWIRE_PEERS_DIR)", dir)
	}
	args := []string{"redis-node", "--port", "0", "--redis", s.addr + ",name=net"}
	if prefix != "" {
		args = append(args, "--redis-prefix", prefix)
	}
	cmd := exec.Command(run, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found, read := make(chan string, 1), make(chan struct{})
	go func() { // ends with the process's output
		defer close(read)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if addr, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				found <- strings.TrimSpace(addr)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
	})
	select {
	case addr := <-found:
		return addr
	case <-read:
		t.Skip("the .NET peer does not run here")
	case <-time.After(90 * time.Second):
		t.Fatal("the .NET peer does not start")
	}
	return ""
}

// command has the .NET node do something.
func command(t *testing.T, base, op string, q url.Values, args ...any) (result string, failed string) {
	t.Helper()
	if q == nil {
		q = url.Values{}
	}
	q.Set("op", op)
	body, _ := json.Marshal(append([]any{}, args...))
	resp, err := http.Post(base+"/do?"+q.Encode(), "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	var a struct {
		OK     bool
		Result any
		Error  string
	}
	if err := json.Unmarshal(b, &a); err != nil {
		t.Fatalf("%s: %s", op, b)
	}
	return fmt.Sprint(a.Result), a.Error
}

type member struct {
	*client.Conn
	got chan string
}

const (
	receive hubwire.Event[string]                = "Receive"
	answer  hubwire.ClientMethod[string, string] = "Answer"
)

func join(t *testing.T, url, protocol string) *member {
	t.Helper()
	m := &member{got: make(chan string, 100)}
	c, err := client.Dial(t.Context(), url, &client.Options{Protocol: protocol, Handlers: []hubwire.ClientHandler{
		receive.With(func(_ context.Context, s string) error { m.got <- s; return nil }),
		answer.With(func(_ context.Context, q string) (string, error) {
			if q == "fail" {
				return "", fmt.Errorf("no")
			}
			return "re: " + q, nil
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	m.Conn = c
	t.Cleanup(func() { _ = c.Close() })
	return m
}

// Two nodes of ours and one of ASP.NET Core are one hub: every send crosses in
// every direction, changes of groups and questions too.
func TestMixedFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a .NET node")
	}
	for _, prefix := range []string{"", "MyApp"} {
		t.Run("prefix "+prefix, func(t *testing.T) { mixedFleet(t, prefix) })
	}
}

func mixedFleet(t *testing.T, prefix string) {
	s := startRedis(t)
	net := startDotnet(t, s, prefix)
	var hubs []*hubwire.Hub
	urls := []string{net + "/hub"}
	for range 2 {
		hub := hubwire.New(&hubwire.Options{Name: "Interop.ChatHub", Backplane: prefixed(s.addr, prefix)})
		mux := http.NewServeMux()
		signalr.Mount(mux, "/hub", hub, &signalr.Options{Middleware: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				u := &hubwire.User{ID: r.URL.Query().Get("user")}
				next.ServeHTTP(w, r.WithContext(hubwire.WithUser(r.Context(), u)))
			})
		}})
		server := httptest.NewServer(mux)
		t.Cleanup(func() {
			_ = hub.Shutdown(context.Background())
			server.CloseClientConnections()
			server.Close()
		})
		hubs = append(hubs, hub)
		urls = append(urls, server.URL+"/hub")
	}
	var all []*member // json and messagepack on each; the first of each is ann
	for _, u := range urls {
		all = append(all, join(t, u+"?user=ann", "json"), join(t, u+"?user=bob", "messagepack"))
	}
	id := func(i int) string { return all[i].ID() }
	expect := func(what string, members ...int) {
		t.Helper()
		for _, i := range members {
			select {
			case got := <-all[i].got:
				if got != what {
					t.Fatalf("member %d got %q, want %q", i, got, what)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("member %d did not get %q", i, what)
			}
		}
	}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dotnet := func(op string, q url.Values, args ...any) string {
		t.Helper()
		got, failed := command(t, net, op, q, args...)
		if failed != "" {
			t.Fatalf(".NET: %s: %s", op, failed)
		}
		return got
	}
	// Changes of groups from the other kind of node.
	for i := range all {
		dotnet("add", url.Values{"id": {id(i)}, "group": {"room"}})
		ok(hubs[0].Join(t.Context(), id(i), "hall *", "room"))
	}
	everyone := []int{0, 1, 2, 3, 4, 5}
	text := func(who, what string) string { return who + ": " + what + " ü\U0001F600<&>" }
	x := text("net", "all")
	dotnet("all", nil, x)
	expect(x, everyone...)
	dotnet("allExcept", url.Values{"id": {id(0), id(3)}}, "not 0, 3")
	expect("not 0, 3", 1, 2, 4, 5)
	dotnet("group", url.Values{"group": {"room"}}, "room")
	expect("room", everyone...)
	dotnet("groups", url.Values{"group": {"room", "hall *"}}, "both")
	expect("both", everyone...)
	expect("both", everyone...)
	dotnet("groupExcept", url.Values{"group": {"room"}, "id": {id(2)}}, "not 2")
	expect("not 2", 0, 1, 3, 4, 5)
	dotnet("user", url.Values{"user": {"ann"}}, "ann")
	expect("ann", 0, 2, 4)
	dotnet("users", url.Values{"user": {"ann", "bob"}}, "users")
	expect("users", everyone...)
	for i := range all {
		dotnet("client", url.Values{"id": {id(i)}}, "you")
		expect("you", i)
		if got := dotnet("invoke", url.Values{"id": {id(i)}, "method": {"Answer"}}, "q"); got != "re: q" {
			t.Errorf(".NET asks %d: %q", i, got)
		}
	}
	for n, hub := range hubs {
		who := fmt.Sprint("go ", n)
		send := func(to hubwire.Target, what string, members ...int) {
			t.Helper()
			ok(receive.Send(t.Context(), to, text(who, what)))
			expect(text(who, what), members...)
		}
		send(hub.All(), "all", everyone...)
		send(hub.All().Except(id(0), id(2), id(5)), "except", 1, 3, 4)
		send(hub.Group("room"), "room", everyone...)
		send(hub.Group("room").Except(id(1)), "not 1", 0, 2, 3, 4, 5)
		send(hub.User("bob"), "bob", 1, 3, 5)
		for i := range all {
			send(hub.Conn(id(i)), "you", i)
			got, err := answer.Call(t.Context(), hub.Conn(id(i)), "q")
			if got != "re: q" || err != nil {
				t.Errorf("%s asks %d: %q, %v", who, i, got, err)
			}
			if _, err := answer.Call(t.Context(), hub.Conn(id(i)), "fail"); err == nil {
				t.Errorf("%s asks %d: no error", who, i)
			}
		}
		if _, err := answer.Call(t.Context(), hub.Conn("nobody"), "q"); err == nil {
			t.Error("nobody answered")
		}
		ok(hub.Leave(t.Context(), id(0), "room"))
		ok(hub.Leave(t.Context(), id(5), "room"))
		send(hub.Group("room"), "left", 1, 2, 3, 4)
		ok(hub.Join(t.Context(), id(0), "room"))
		ok(hub.Join(t.Context(), id(5), "room"))
	}
	dotnet("remove", url.Values{"id": {id(4)}, "group": {"room"}})
	dotnet("group", url.Values{"group": {"room"}}, "without 4")
	expect("without 4", 0, 1, 2, 3, 5)
	// A kick reaches connections of ASP.NET Core as a Close message.
	ok(hubs[1].Kick(t.Context(), hubs[1].User("bob"), "out", false))
	for _, i := range []int{1, 3, 5} {
		select {
		case <-all[i].Done():
		case <-time.After(20 * time.Second):
			t.Errorf("member %d was not kicked", i)
		}
	}
	for _, i := range everyone {
		select {
		case got := <-all[i].got:
			t.Errorf("member %d got %q too", i, got)
		default:
		}
	}
}
