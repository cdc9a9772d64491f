package signalr_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/signalr"
)

// rows are the inputs and faults that a server of SignalR must survive, by their
// numbers in our list, and the tests that do it; names of other packages have
// the package before them. TestRows looks for each.
var rows = []struct {
	row   int
	what  string
	tests string
}{
	{1, "negotiations never followed by a connection", "TestAdversarial01Negotiations TestAdversarial01Pending TestAdversarial01PendingPerAddress"},
	{2, "negotiateVersion of all kinds", "TestAdversarial02Versions TestNegotiate"},
	{3, "ids that are unknown, empty, long, broken, another hub's", "TestAdversarial03Tokens TestToken FuzzToken"},
	{4, "one token used twice at once", "TestAdversarial04OneToken TestTokenStartsOnce"},
	{5, "the id where the token is wanted", "TestAdversarial05PublicID"},
	{6, "a token of another node", "TestAdversarial06OtherNode TestTellsWhyAnIDIsUnknown"},
	{7, "POST to what is closed, half closed, not yet connected", "TestAdversarial07PostComesFirst TestAdversarial07Closed"},
	{8, "DELETE by another user", "TestAdversarial08Users"},
	{9, "the user changes between negotiation and connection", "TestAdversarial08Users"},
	{10, "a transport that is not offered, or changes", "TestAdversarial10Transports TestRestrictedTransports"},
	{11, "origins", "TestAdversarial11Origins TestOrigins TestCORS"},
	{12, "hosts", "TestAdversarial12Hosts TestAdversarial12Rebinding"},
	{13, "upgrades that are wrong", "TestAdversarial13Upgrades"},
	{14, "many headers, large ones", "TestAdversarial14Headers"},
	{15, "methods and bodies", "TestAdversarial15Bodies TestAdversarial15BigBody TestAdversarial15EndlessBody"},
	{16, "paths", "TestAdversarial16Paths TestMountPaths"},
	{54, "event streams that nobody reads, thousands of small writes", "TestAdversarial54StopsReading TestAdversarial54SmallWrites"},
	{57, "polls beside each other, after the end, given up", "TestAdversarial57Polls TestPollDropped TestPollsDroppedAtRandom TestLongPollingEnds"},
	{58, "POSTs at once, twice the same", "TestAdversarial58Posts"},
	{59, "a poll that a proxy ends, an answer that is cut", "TestAdversarial59HeldPoll TestAdversarial59CutAnswer"},
	{60, "HTTP/1.0, pipelining, resets of HTTP/2", "TestAdversarial60HTTP"},
	{69, "alg none, confusion, kid, jku, x5u", "auth.TestAttacks auth.TestAlgorithms"},
	{70, "exp, nbf, skew, iat, sub", "auth.TestLifetime auth.TestExpiresIsWithoutSkew auth.TestUser"},
	{71, "tokens that expire meanwhile; refresh", "TestAdversarial71Expiry TestAdversarial71RefreshStorm TestRefresh TestCloseOnExpiry"},
	{72, "users who are thrown out", "TestAdversarial72ThrownOut TestStatefulEnds"},
	{73, "requests of foreign pages", "TestAdversarial73CrossSite"},
	{74, "names of groups", "TestAdversarial74GroupNames"},
	{75, "secrets in logs", "TestAdversarial75Secrets"},
	{76, "false acknowledgements, stolen tokens, returns that race", "TestRow76FalseAcksAndTokens TestRow76TwoReturnsRace"},
	{77, "what cannot be resumed", "TestRow77NotRecovered"},
	{78, "delivered once over a return", "TestRow78SentDuringTheSwap TestStatefulCountsOnce"},
	{79, "10,000 cuts", "TestRow79Cuts client.TestTenThousandCuts"},
	{80, "all come at once", "TestAdversarial80Storm client.TestDelays client.TestReconnectDelays"},
	{82, "broadcasts while clients leave; ends while connecting", "TestAdversarial82Leaving TestEndsDuringConnect TestEndsWhileItOpens"},
	{85, "shutdown in every phase, in a hurry", "TestAdversarial85Shutdown TestAdversarial85Handshake TestAdversarial85Hurry TestShutdown"},
	{86, "a process that was stopped; one processor", "e2e.TestSuspended"},
}

func TestRows(t *testing.T) {
	exists := map[string]bool{}
	for pkg, dir := range map[string]string{"": ".", "auth.": "../auth", "client.": "client", "e2e.": "../test/e2e"} {
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v %v", dir, err, fs.ErrNotExist)
		}
		for _, name := range files {
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range f.Decls {
				if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil {
					exists[pkg+d.Name.Name] = true
				}
			}
		}
	}
	for _, r := range rows {
		for _, name := range strings.Fields(r.tests) {
			if !exists[name] {
				t.Errorf("row %d (%s): there is no %s", r.row, r.what, name)
			}
		}
	}
}

// A connection that has ended takes nothing any more; one whose last words wait
// for a poll still does, and drops it.
func TestAdversarial07Closed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		e := s.events()
		e.post(`{"type":7}␞`)
		e.want(`{"type":7}`)
		e.wantEnd()
		hub.wantGone(t, "")
		s.wantPost(e.token, "x", 404, "No Connection with that ID")

		token := s.lp("", "json")
		s.post(token, `{"type":7}␞`)
		hub.wantGone(t, "")
		s.post(token, `{"type":1,"target":"ToMe","arguments":["late"]}␞`)
		s.poll(token, 200, `{"type":7}␞`)
		s.post(token, `half a mess`)
		s.poll(token, 204, "")
		s.wantPost(token, "x", 404, "No Connection with that ID")
		if r := s.delete(token); r.status != 404 {
			t.Errorf("DELETE: %d", r.status)
		}
	})
}

// Clients that stop reading their streams, or polling, cost the others nothing
// and end.
func TestAdversarial54StopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, &hubwire.Options{Queue: hubwire.Queue{Messages: 4}})
		s := serve(t, hub.Hub, nil)
		good := s.events()
		_, token := s.negotiate("")
		c, err := s.net.dial()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /hub?id=%s HTTP/1.1\r\nHost: example.com\r\nAccept: text/event-stream\r\n\r\n", token)
		var head []byte
		for b := make([]byte, 1); !strings.HasSuffix(string(head), "3\r\n:\r\n\r\n"); head = append(head, b...) {
			if _, err := c.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		s.post(token, `{"protocol":"json","version":1}␞`) // whose answer is the first that is not read
		late := time.Now()
		hub.wantNobody(t)
		for i := range 50 {
			if err := receive.Send(t.Context(), hub.All(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			good.want(fmt.Sprintf(`{"type":1,"target":"Receive","arguments":["%d"]}`, i))
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if r, err := s.do(t.Context(), "POST", "/hub?id="+token, "x"); err != nil || r.status != 404 {
			t.Errorf("the one that does not read is there %v later: %d %v", time.Since(late), r.status, err)
		}
		good.call("1", "Echo", `"a"`)
		for rec := good.record(); rec != answered("1", `"a"`); rec = good.record() {
			if rec != `{"type":6}` {
				t.Fatal(rec)
			}
		}
	})
}

// wantNobody checks that no connection has ended.
func (s *spy) wantNobody(t testing.TB) {
	t.Helper()
	if n := len(s.gone); n != 0 {
		t.Errorf("%d connections have ended", n)
	}
}

// A thousand streams, and many small events: each gets all, in order.
func TestAdversarial54SmallWrites(t *testing.T) {
	streams, events := 1000, 30
	if testing.Short() {
		streams = 100
	}
	hub := newHub(t, nil)
	s := serve(t, hub.Hub, nil)
	var all []*eventSource
	for range streams {
		e := s.events()
		e.call("1", "Nothing", "")
		e.record()
		all = append(all, e)
	}
	for i := range events {
		if err := receive.Send(t.Context(), hub.All(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range all {
		for i := range events {
			want := fmt.Sprintf(`{"type":1,"target":"Receive","arguments":["%d"]}`, i)
			rec := e.record()
			for rec == `{"type":6}` {
				rec = e.record()
			}
			if rec != want {
				t.Fatalf("got %s, want %s", rec, want)
			}
		}
	}
}

// A proxy that ends each poll after a minute, before its time: nothing is lost,
// and the connection stays.
func TestAdversarial59HeldPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, nil)
		token := s.lp("", "json")
		for i := range 5 {
			p := s.park(token)
			time.Sleep(time.Minute)
			p.cancel()
			if _, ok := <-p.ch; ok {
				t.Fatal("the poll was answered")
			}
			synctest.Wait()
			if err := receive.Send(t.Context(), hub.All(), fmt.Sprint(i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
			s.poll(token, 200, fmt.Sprintf(`{"type":1,"target":"Receive","arguments":["%d"]}␞`, i))
		}
		hub.wantNobody(t)
	})
}

// Credentials that end in the middle of a call, a stream and a poll: all of it
// ends, and the client may come back.
func TestAdversarial71Expiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := &signalr.Options{Middleware: asUser, CloseOnExpiry: true}
		short := []string{"X-User: ann", "X-Life: 3s"}
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, opts)
		p := s.dial("/hub", short...)
		p.shake("json")
		p.records(`{"type":4,"invocationId":"s","target":"Forever","arguments":[]}␞`)
		p.want(`{"type":2,"invocationId":"s","item":0}`)
		p.call("1", "Hang", "")
		_, token := s.negotiateAs("", short...)
		e := s.sse(token, short...)
		s.post(token, `{"protocol":"json","version":1}␞{"type":1,"invocationId":"1","target":"Hang","arguments":[]}␞`, short...)
		e.want("{}")
		lp := s.lp("", "json", short...)
		s.post(lp, `{"type":1,"invocationId":"1","target":"Hang","arguments":[]}␞`, short...)
		poll := s.park(lp, short...)

		p.want(`{"type":7,"allowReconnect":true}`)
		p.wantClose(1000)
		e.want(`{"type":7,"allowReconnect":true}`)
		e.wantEnd()
		poll.want(200, closeReconnect)
		for range 3 {
			hub.wantGone(t, "")
		}
	})
}

// A hundred refreshes at once, one user's and another's, old and new: the longest
// life counts, and only the connection's own user is heard.
func TestAdversarial71RefreshStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, &signalr.Options{Middleware: asUser, CloseOnExpiry: true, AuthRefresh: true})
		_, token := s.negotiateAs("", "X-User: ann", "X-Life: 4s")
		p := s.dial("/hub?id="+token, "X-User: ann", "X-Life: 4s")
		p.shake("json")
		synctest.Wait()
		start := time.Now()
		var mu sync.Mutex
		got := map[int]int{}
		var wg sync.WaitGroup
		for i := range 100 {
			user, life := "ann", fmt.Sprintf("%ds", 1+i%10)
			if i%2 == 1 {
				user, life = "bob", "1h"
			}
			wg.Go(func() {
				r := s.request("POST", "/hub/refresh", "X-User: "+user, "X-Life: "+life, "X-SignalR-Connection-Token: "+token)
				mu.Lock()
				defer mu.Unlock()
				got[r.status]++
			})
		}
		wg.Wait()
		if got[200] != 50 || got[404] != 50 {
			t.Errorf("%v", got)
		}
		p.want(`{"type":7,"allowReconnect":true}`)
		if d := time.Since(start); d < 8900*time.Millisecond || d > 10*time.Second {
			t.Errorf("ended after %v", d) // the longest of ann's is 9 s
		}
	})
}

// A shutdown finds connections that are between their transport's start and the
// handshake: they are told the same, and no later than their handshake.
func TestAdversarial85Handshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := newHub(t, nil)
		s := serve(t, hub.Hub, &signalr.Options{StatefulReconnect: true})
		p := s.dial("/hub")
		_, token := s.negotiate("")
		e := s.sse(token)
		silent := s.dial("/hub")
		synctest.Wait()
		if err := hub.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.text(`{"protocol":"json","version":1}` + "\x1e")
		p.want("{}", `{"type":7,"allowReconnect":true}`)
		p.wantClose(1000)
		e.post(`{"protocol":"json","version":1}␞`)
		e.want("{}", `{"type":7,"allowReconnect":true}`)
		e.wantEnd()
		silent.want(`{"error":"Handshake was canceled."}`)
		silent.wantClose(1000)
		if n := len(slices.Collect(hub.Connections())); n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}
