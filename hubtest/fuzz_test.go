package hubtest

import (
	"bytes"
	"testing"
)

func FuzzFrame(f *testing.F) {
	for _, x := range []frame{
		{kind: frameEvent, name: "Said", list: [][]byte{[]byte(`"hi"`)}},
		{kind: frameCall, id: "1", name: "Add", flags: flagStream, number: 2, list: [][]byte{[]byte("1"), []byte("2"), []byte("1.0")}},
		{kind: frameFailure, id: "1", name: "no", number: 7},
		{kind: frameBye},
	} {
		f.Add(x.append(nil))
	}
	f.Add([]byte{1, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, src []byte) {
		x, err := parseFrame(src)
		if err != nil {
			return
		}
		again, err := parseFrame(x.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again.append(nil), x.append(nil)) {
			t.Errorf("%+v is not %+v", again, x)
		}
	})
}
