package redis

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/hubwire/hubwire"
)

// A vector is a payload that a node of ASP.NET Core published, and what it means.
type vector struct {
	Hex     string
	Decoded struct {
		Kind       string
		ID         int32
		Server     string
		Action     string
		Group      string
		Connection string
		Excluded   []string
		Payloads   []blobHex
		Payload    blobHex

		InvocationID  string
		ReturnChannel string
	}
}

type blobHex struct{ Protocol, Hex string }

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vectors(t testing.TB) (vs []vector) {
	b, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

// What ASP.NET Core wrote is read as what it means, and written again as the same
// bytes.
func TestVectors(t *testing.T) {
	for _, v := range vectors(t) {
		src, d := unhex(t, v.Hex), &v.Decoded
		var again []byte
		switch d.Kind {
		case "invocation":
			got, err := parseInvocation(src, true, nil)
			if err != nil {
				t.Errorf("%s: %v", v.Hex, err)
				continue
			}
			if !slices.Equal(got.except, d.Excluded) || got.id != d.InvocationID || got.answer != d.ReturnChannel {
				t.Errorf("%s: got %+v", v.Hex, got)
			}
			distinct := true
			for i, p := range d.Payloads {
				if slices.ContainsFunc(d.Payloads[:i], func(q blobHex) bool { return q.Protocol == p.Protocol }) {
					distinct = false // Newtonsoft's: of two of one name the first counts
					continue
				}
				j := slices.IndexFunc(got.blobs, func(b hubwire.Blob) bool { return b.Protocol == p.Protocol })
				if j < 0 || !bytes.Equal(got.blobs[j].Bytes, unhex(t, p.Hex)) {
					t.Errorf("%s: blob %s", v.Hex, p.Protocol)
				}
			}
			if !distinct {
				continue
			}
			again = appendInvocation(nil, &got)
		case "group command":
			got, err := parseCommand(src)
			action := map[string]uint8{"add": actionAdd, "remove": actionRemove}[d.Action]
			if err != nil || *got != (command{d.ID, d.Server, action, d.Group, d.Connection}) {
				t.Errorf("%s: got %+v, %v", v.Hex, got, err)
				continue
			}
			again = appendCommand(nil, got)
		case "ack":
			got, err := parseAck(src)
			if err != nil || got != d.ID {
				t.Errorf("%s: got %d, %v", v.Hex, got, err)
			}
			again = appendAck(nil, got)
		case "completion":
			protocol, got, err := parseReturn(src)
			if err != nil || protocol != d.Payload.Protocol || got.id == "" {
				t.Errorf("%s: got %+v, %v", v.Hex, got, err)
				continue
			}
			again = appendReturn(nil, protocol, got)
			if p2, got2, err := parseReturn(again); err != nil || p2 != protocol || got2.id != got.id || got2.text != got.text || got2.failed != got.failed || got2.has != got.has || !bytes.Equal(got2.value, got.value) {
				t.Errorf("%s: again %+v, %v", v.Hex, got2, err)
			}
			if bytes.Contains(src, []byte("headers")) || bytes.Contains(src, []byte{0x95, 0x03, 0x81}) || !bytes.Equal(src, again) {
				continue // a completion's headers, and blanks before a value, have no place in an answer
			}
		default:
			t.Fatalf("kind %q", d.Kind)
		}
		if !bytes.Equal(again, src) {
			t.Errorf("%s\nwritten as\n%x", v.Hex, again)
		}
	}
}

// What a node with one protocol published reaches clients of the other.
func TestComplete(t *testing.T) {
	for _, v := range vectors(t) {
		inv, err := parseInvocation(unhex(t, v.Hex), true, nil)
		if v.Decoded.Kind != "invocation" || err != nil || len(inv.blobs) != 2 {
			continue
		}
		for i := range inv.blobs {
			got := complete([]hubwire.Blob{inv.blobs[i]})
			if len(got) != 2 {
				t.Errorf("%s: not translated", v.Hex)
			}
			back := complete([]hubwire.Blob{got[1]})
			if len(back) != 2 {
				t.Errorf("%s: not translated back", v.Hex)
			}
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(unhex(f, v.Hex))
	}
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0x92, 0x90, 0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, src []byte) {
		if v, err := parseInvocation(src, true, nil); err == nil {
			complete(v.blobs)
			again, err := parseInvocation(appendInvocation(nil, &v), true, nil)
			if err != nil || len(again.blobs) != len(v.blobs) || len(again.except) != len(v.except) {
				t.Errorf("%x: again %+v, %v", src, again, err)
			}
		}
		if c, err := parseCommand(src); err == nil {
			if _, err := parseCommand(appendCommand(nil, c)); err != nil {
				t.Errorf("%x: %v", src, err)
			}
		}
		if id, err := parseAck(src); err == nil {
			if again, err := parseAck(appendAck(nil, id)); err != nil || again != id {
				t.Errorf("%x: %d, %v", src, again, err)
			}
		}
		if p, c, err := parseReturn(src); err == nil {
			if _, again, err := parseReturn(appendReturn(nil, p, c)); err != nil || again.has != c.has || again.failed != c.failed {
				t.Errorf("%x: %+v, %v", src, again, err)
			}
		}
	})
}
