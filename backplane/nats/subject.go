package nats

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"

	"github.com/hubwire/hubwire"
)

// Subjects are <prefix>.<hub>.<kind>[.<name>]:
//
//	a           all
//	g.<name>    a group
//	u.<name>    a user
//	c.<name>    a connection
//	n.<name>    a node
//	f           every node
//	p           the nodes that are told who comes and goes
//	e           who gives the order
//	q           asks who does; the node that does is subscribed
//	o.<id>      requests for a place in the order, to the node that gives it
//	i.<id>.>    answers to a node
//
// Names are tokens: as they are behind "n" where they consist of letters, digits,
// '-' and '_', else in base64url behind "b", or behind "h" their hash where they
// are so long that NATS, which reads lines of 4 KiB, would not take them.

const (
	longName  = 1024
	plainSafe = 128
)

func nameToken(name string) string {
	safe := len(name) <= plainSafe
	for i := 0; safe && i < len(name); i++ {
		c := name[i]
		safe = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
	}
	switch {
	case safe:
		return "n" + name
	case len(name) > longName:
		sum := sha256.Sum256([]byte(name))
		return "h" + hex.EncodeToString(sum[:])
	}
	return "b" + base64.RawURLEncoding.EncodeToString([]byte(name))
}

// token is an address's subject behind the head of its hub, and whether its
// messages have one order for all; empty: there is no such address.
func token(a hubwire.Address) (t string, ordered bool) {
	switch a.Kind {
	case hubwire.AddressAll:
		return "a", true
	case hubwire.AddressGroup:
		return "g." + nameToken(a.Name), true
	case hubwire.AddressUser:
		return "u." + nameToken(a.Name), true
	case hubwire.AddressConn:
		return "c." + nameToken(a.Name), false
	case hubwire.AddressNode:
		return "n." + nameToken(a.Name), false
	case hubwire.AddressNodes:
		return "f", false
	}
	return "", false
}

func idToken(id uint64) string { return strconv.FormatUint(id, 36) }
