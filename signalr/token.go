package signalr

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// A connection token says what a negotiation agreed on, so that the server need
// not remember: however many clients negotiate and never come, nothing grows.
//
//	node "." base64url(version, expiry, id) "." base64url(HMAC-SHA256)
//
// node names the server that negotiated. version is the negotiation's, one byte,
// the highest bit of which tells that stateful reconnect was granted;
// expiry is the Unix second until which the token must be used, 4 bytes; id is
// the connection id, 16. The signature
// covers these, the hub and the user, so that nobody else can use the token,
// and nowhere else. A token is at most 137 characters.
//
// A token starts one connection: see sessions.

// maxToken is the length above which nothing is looked at.
const maxToken = 200

const tokenPurpose = "hubwire signalr connection token 1"

type connID [16]byte

func newConnID() (id connID) {
	rand.Read(id[:])
	return id
}

// String is the public connection id.
func (id connID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

var (
	errNoToken   = errors.New("signalr: token: not one of ours")
	errOtherNode = errors.New("signalr: token: of another node")
	errOver      = errors.New("signalr: token: its connection has ended, or has not begun in time")
)

// A signer makes and checks tokens.
type signer struct {
	key  []byte
	node string
	hub  string
}

func (s *signer) mac(node string, body []byte, user string) []byte {
	h := hmac.New(sha256.New, s.key)
	var n [4]byte
	for _, field := range [...]string{tokenPurpose, node, string(body), s.hub, user} {
		binary.BigEndian.PutUint32(n[:], uint32(len(field)))
		h.Write(n[:])
		h.Write([]byte(field))
	}
	return h.Sum(nil)
}

// A claim is what a token says.
type claim struct {
	version  byte
	stateful bool
	expires  int64 // Unix seconds
	id       connID
}

const grantStateful = 0x80

const claimSize = 1 + 4 + len(connID{})

// sign makes a token for user.
func (s *signer) sign(c claim, user string) string {
	var body [claimSize]byte
	body[0] = c.version
	if c.stateful {
		body[0] |= grantStateful
	}
	binary.BigEndian.PutUint32(body[1:], uint32(c.expires))
	copy(body[5:], c.id[:])
	enc := base64.RawURLEncoding
	b := make([]byte, 0, maxToken)
	b = append(append(b, s.node...), '.')
	b = append(enc.AppendEncode(b, body[:]), '.')
	return string(enc.AppendEncode(b, s.mac(s.node, body[:], user)))
}

// verify returns what a token of user says. It is an error if the signature is
// not ours (errNoToken), or if another node that shares our key has made it
// (errOtherNode). Whether it has expired is for the sessions to say.
func (s *signer) verify(token, user string) (c claim, err error) {
	if len(token) > maxToken {
		return c, errNoToken
	}
	j := strings.LastIndexByte(token, '.')
	if j < 0 {
		return c, errNoToken
	}
	i := strings.LastIndexByte(token[:j], '.')
	if i < 0 || !validNode(token[:i]) {
		return c, errNoToken
	}
	enc := base64.RawURLEncoding.Strict()
	body, err1 := enc.DecodeString(token[i+1 : j])
	mac, err2 := enc.DecodeString(token[j+1:])
	if err1 != nil || err2 != nil || len(body) != claimSize || !hmac.Equal(mac, s.mac(token[:i], body, user)) {
		return c, errNoToken
	}
	if token[:i] != s.node {
		return c, errOtherNode
	}
	c.version, c.stateful = body[0]&^grantStateful, body[0]&grantStateful != 0
	c.expires = int64(binary.BigEndian.Uint32(body[1:]))
	copy(c.id[:], body[5:])
	return c, nil
}
