package sse_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/sse"
)

// How a call by POST is answered.
func TestMountInvoke(t *testing.T) {
	type row struct {
		name, args string
		status     int
		body       string
	}
	rows := []row{
		{"Echo", `["hi"]`, 200, `"hi"`},
		{"eCHO", `["hi"]`, 200, `"hi"`},
		{"Echo", " [ \"\\ud83d\\ude00 \\u2028<&>\" ] \r\n", 200, "\"😀 \\u2028<&>\""},
		{"a/b c?%", `["x"]`, 200, `"x"`},
		{"Pair", `["x",2]`, 200, `"x2"`},
		{"Nothing", `[]`, 204, ``},
		{"Nothing", ``, 204, ``},
		{"Null", `[]`, 200, `null`},
		{"Nope", `[]`, 404, `{"code":"not_found","message":"There is no method Nope."}`},
		{"No\"<>", `[]`, 404, `{"code":"not_found","message":"There is no method No\"<>."}`},
		{"Echo", `[]`, 400, `{"code":"invalid_argument","message":"The arguments do not fit Echo."}`},
		{"Echo", `["a","b"]`, 400, `{"code":"invalid_argument","message":"The arguments do not fit Echo."}`},
		{"Echo", `[1]`, 400, `{"code":"invalid_argument","message":"The arguments do not fit Echo."}`},
		{"Nothing", `[1]`, 400, `{"code":"invalid_argument","message":"The arguments do not fit Nothing."}`},
		{"Fails", `["error"]`, 500, `{"code":"unknown","message":"Fails failed."}`},
		{"Fails", `["panic"]`, 500, `{"code":"unknown","message":"Fails failed."}`},
		{"Fails", `["goexit"]`, 500, `{"code":"unknown","message":"Fails failed."}`},
		{"Fails", `["unauthorized"]`, 403, `{"code":"permission_denied","message":"You may not call Fails."}`},
		{"Fails", `["data"]`, 404, `{"code":"not_found","message":"no \"cake\"","data":[1,2]}`},
		{"NaN", `[]`, 500, `{"code":"unknown","message":"The call failed."}`},
		{"Joins", `["room"]`, 501, `{"code":"unimplemented","message":"hubwire: a call without a connection cannot join a group"}`},
		{"Asks", `[]`, 501, `{"code":"unimplemented","message":"hubwire: a call without a connection cannot be asked"}`},
		{"Upload", `["a"]`, 501, `{"code":"unimplemented","message":"Clients cannot stream to the hub over Server-Sent Events."}`},
		{"Sum", `[]`, 501, `{"code":"unimplemented","message":"Clients cannot stream to the hub over Server-Sent Events."}`},
		{"Mirror", `[]`, 501, `{"code":"unimplemented","message":"Clients cannot stream to the hub over Server-Sent Events."}`},
		{"Count", `["",1]`, 405, `{"code":"unimplemented","message":"Use GET."}`},
	}
	for i, status := range []int{499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 403} {
		code := hubwire.Code(i + 1)
		rows = append(rows, row{"Fails", fmt.Sprintf(`["%d"]`, code), status, fmt.Sprintf(`{"code":"%s","message":"%d"}`, strings.ReplaceAll(code.String(), " ", "_"), code)})
	}
	for _, args := range []string{`{}`, `null`, `"a"`, `1`, `[`, `]`, `["a"`, `["a",]`, `[] []`, `[]x`, `["a" "b"]`, "[\"\x01\"]", `[01]`, strings.Repeat("[", 10000), strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "\ufeff[]", " ", "\x00"} {
		rows = append(rows, row{"Nothing", args, 400, `{"code":"invalid_argument","message":"The arguments are no JSON array."}`})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, nil)
		l := s.listen("/hub")
		for _, r := range rows {
			got := s.call(r.name, r.args)
			if got.status != r.status || got.body != r.body {
				t.Errorf("%s %.50s: %d %s; want %d %s", r.name, r.args, got.status, got.body, r.status, r.body)
			}
			if got.body != "" && got.header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %v", r.name, got.header)
			}
			if r.name == "Joins" || r.name == "Asks" {
				continue // of a connection these are other things
			}
			if got := s.call(r.name, r.args, l.as()); got.status != r.status || got.body != r.body {
				t.Errorf("%s %.50s of a connection: %d %s; want %d %s", r.name, r.args, got.status, got.body, r.status, r.body)
			}
		}
		if got := s.call("Asks", `[]`, l.as()); got.status != 501 || got.body != `{"code":"unimplemented","message":"hubwire: the client cannot be asked"}` {
			t.Errorf("asking a connection: %d %s", got.status, got.body)
		}
	})
}

// What a POST must be, so that no page of another site can send it (row 73).
func TestMountForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, &sse.MountOptions{MaxBody: 100})
		for _, typ := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", "text/json", "application/json, text/plain", "application/json;x", "application/vnd.x+json"} {
			if got := s.do("POST", "/hub/Echo", `["x"]`, "Content-Type: "+typ); got.status != 415 {
				t.Errorf("%q: %d %s", typ, got.status, got.body)
			}
		}
		for _, typ := range []string{"application/json", "Application/JSON", "application/json; charset=utf-8"} {
			if got := s.do("POST", "/hub/Echo", `["x"]`, "Content-Type: "+typ); got.status != 200 {
				t.Errorf("%q: %d %s", typ, got.status, got.body)
			}
		}
		for _, h := range []string{"Origin: https://evil.example", "Origin: null", "Origin: http://site.test.evil.example", "Sec-Fetch-Site: cross-site"} {
			for _, got := range []reply{
				s.call("Echo", `["x"]`, h),
				s.do("GET", "/hub/Count?args=[%22%22,1]", "", h),
				s.do("GET", "/hub", "", h),
			} {
				if got.status != 403 || got.header.Get("Access-Control-Allow-Origin") != "" || got.body != `{"code":"permission_denied","message":"Origin not allowed"}` {
					t.Errorf("%s: %d %s", h, got.status, got.body)
				}
			}
		}
		if got := s.call("Echo", `["x"]`, "Origin: http://site.test"); got.status != 200 {
			t.Errorf("its own page: %d %s", got.status, got.body)
		}
		if n := len(s.noted()); n == 0 {
			t.Error("no call has connected")
		}
		if got := s.call("Echo", `["`+strings.Repeat("x", 96)+`"]`); got.status != 200 {
			t.Errorf("100 bytes: %d %s", got.status, got.body)
		}
		for _, n := range []int{97, 1 << 20} {
			if got := s.call("Echo", `["`+strings.Repeat("x", n)+`"]`); got.status != 413 {
				t.Errorf("%d bytes: %d %s", n, got.status, got.body)
			}
		}
		r := s.request("POST", "/hub/Echo", "", isJSON)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`["`+strings.Repeat("x", 200)+`"]`)), -1
		if resp, err := s.http().Do(r); err != nil || resp.StatusCode != 413 {
			t.Errorf("a body of unknown length: %v, %v", resp, err)
		} else {
			resp.Body.Close()
		}
	})
}

// An answer that does not wait for the body is not lost to the reset of a
// connection on which the body is still under way.
func TestMountUnreadBody(t *testing.T) {
	for _, c := range []struct {
		head   string
		size   int
		status string
		taken  bool // all of the body
	}{
		{"Content-Type: text/plain", 200 << 10, "415", true},
		{"Content-Type: text/plain", 1 << 20, "415", false},
		{isJSON, 200 << 10, "413", true},
		{isJSON, 1 << 20, "413", false},
		{isJSON + "\r\nOrigin: https://evil.example", 200 << 10, "403", true},
		{isJSON + "\r\nHubwire-Connection: none", 1 << 20, "404", false},
	} {
		for _, proto := range []string{"1.0", "1.1"} {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, nil, &sse.MountOptions{MaxBody: 100})
				conn, err := s.pipe.dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				sent := make(chan error, 1)
				go func() { // ends with conn
					_, err := fmt.Fprintf(conn, "POST /hub/Echo HTTP/%s\r\nHost: site.test\r\nConnection: close\r\n%s\r\nContent-Length: %d\r\n\r\n%s", proto, c.head, c.size, strings.Repeat("x", c.size))
					sent <- err
				}()
				b, err := io.ReadAll(bufio.NewReader(conn))
				if err != nil || !strings.HasPrefix(string(b), "HTTP/"+proto+" "+c.status+" ") {
					t.Errorf("%s, %d bytes: %.60q, %v", c.head, c.size, b, err)
				}
				if err := <-sent; c.taken != (err == nil) {
					t.Errorf("%s, %d bytes: the body: %v", c.head, c.size, err)
				}
			})
		}
	}
}

func TestMountUnreadBodyStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, nil)
		conn, err := s.pipe.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		begin := time.Now()
		go func() { // ends with conn
			_, _ = fmt.Fprintf(conn, "POST /hub/Echo HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", 1<<20, strings.Repeat("x", 1<<20))
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 415 || time.Since(begin) != 0 {
			t.Fatalf("%v, %v after %v", resp, err, time.Since(begin))
		}
		_, _ = io.Copy(io.Discard, conn)
		if d := time.Since(begin); d < 100*time.Millisecond {
			t.Errorf("the server has closed %v after its answer, with most of the body to come", d)
		}
	})
}

// A client that announces a body and sends none is waited for, but not long.
func TestMountUnreadBodyStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, nil)
		conn, err := s.pipe.dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		begin := time.Now()
		_, _ = io.WriteString(conn, "POST /hub/Echo HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\nContent-Length: 100\r\n\r\n")
		if b, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 415 ") || time.Since(begin) > 10*time.Second {
			t.Errorf("%.60q, %v after %v", b, err, time.Since(begin))
		}
	})
}

func TestMountVerbs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, nil, nil)
		for _, c := range []struct {
			method, target, allow string
			status                int
		}{
			{"HEAD", "/hub", "GET", 405}, {"POST", "/hub", "GET", 405}, {"POST", "/hub/", "GET", 405}, {"DELETE", "/hub", "GET", 405}, {"OPTIONS", "/hub", "GET", 405},
			{"GET", "/hub/Echo", "POST", 405}, {"PUT", "/hub/Echo", "POST", 405}, {"HEAD", "/hub/Count", "GET", 405},
			{"GET", "/hub/Nope", "POST", 405}, {"POST", "/hub/a/b", "", 404}, {"POST", "/hub/a%zz", "", 400},
		} {
			r := s.request("GET", "/", "")
			r.Method = c.method
			r.URL.Opaque = c.target
			resp, err := s.http().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.status || resp.Header.Get("Allow") != c.allow {
				t.Errorf("%s %s: %d, Allow %q", c.method, c.target, resp.StatusCode, resp.Header.Get("Allow"))
			}
		}
		s.listen("/hub/").leave() // with a slash it is the same
	})
}
