package dotnet

import (
	"crypto/rand"
	"encoding/hex"
	"errors"

	"github.com/hubwire/hubwire/internal/jsonwire"
	"github.com/hubwire/hubwire/internal/msgpack"
)

// A Guid is a System.Guid: 16 bytes, in the order in which they are written as
// text. (Guid.ToByteArray in .NET has the first eight in another order.) The
// zero Guid is Guid.Empty. Guids can be compared and be keys of maps.
type Guid [16]byte

const guidLength = 36

var errGuid = errors.New("dotnet: guid: not of the form 00112233-4455-6677-8899-aabbccddeeff")

// NewGuid is a random Guid (RFC 9562, version 4), as Guid.NewGuid makes it.
func NewGuid() Guid {
	var g Guid
	rand.Read(g[:]) // never fails
	g[6] = g[6]&0x0F | 0x40
	g[8] = g[8]&0x3F | 0x80
	return g
}

// ParseGuid reads the form with 36 characters, in upper or lower case. It takes
// no other form, without hyphens or with brackets, as .NET's serializers do.
func ParseGuid(s string) (Guid, error) {
	var g Guid
	err := g.UnmarshalText([]byte(s))
	return g, err
}

// String is the form with 36 characters, in lower case.
func (g Guid) String() string {
	var b [guidLength]byte
	g.encode(b[:])
	return string(b[:])
}

// hyphens are the places of the hyphens in the text.
func hyphen(i int) bool { return i == 8 || i == 13 || i == 18 || i == 23 }

func (g Guid) encode(dst []byte) {
	i := 0
	for k := range g {
		if hyphen(i) {
			dst[i] = '-'
			i++
		}
		hex.Encode(dst[i:i+2], g[k:k+1])
		i += 2
	}
}

// AppendText appends what String returns. It implements encoding.TextAppender.
func (g Guid) AppendText(dst []byte) ([]byte, error) {
	var b [guidLength]byte
	g.encode(b[:])
	return append(dst, b[:]...), nil
}

// MarshalText is what String returns.
func (g Guid) MarshalText() ([]byte, error) { return g.AppendText(nil) }

// UnmarshalText is ParseGuid. On an error, g stays as it was.
func (g *Guid) UnmarshalText(text []byte) error {
	if len(text) != guidLength {
		return errGuid
	}
	var out Guid
	i := 0
	for k := range out {
		if hyphen(i) {
			if text[i] != '-' {
				return errGuid
			}
			i++
		}
		if _, err := hex.Decode(out[k:k+1], text[i:i+2]); err != nil {
			return errGuid
		}
		i += 2
	}
	*g = out
	return nil
}

// MarshalJSON is the text as a JSON string.
func (g Guid) MarshalJSON() ([]byte, error) {
	b := make([]byte, guidLength+2)
	b[0], b[len(b)-1] = '"', '"'
	g.encode(b[1:])
	return b, nil
}

// UnmarshalJSON reads a JSON string. null is an error.
func (g *Guid) UnmarshalJSON(src []byte) error {
	text, err := jsonwire.Text(src)
	if err != nil {
		return errGuid
	}
	return g.UnmarshalText([]byte(text))
}

// AppendMsgpack appends the text as a MessagePack string.
func (g Guid) AppendMsgpack(dst []byte) ([]byte, error) {
	var b [guidLength]byte
	g.encode(b[:])
	return msgpack.AppendStringBytes(dst, b[:]), nil
}

// DecodeMsgpack reads a MessagePack string. nil is an error.
func (g *Guid) DecodeMsgpack(src []byte) error {
	var r msgpack.Reader
	r.Reset(src)
	text, err := r.ReadString()
	if err != nil {
		return errGuid
	}
	return g.UnmarshalText(text)
}
