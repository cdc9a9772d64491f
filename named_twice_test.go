package hubwire_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
	"github.com/hubwire/hubwire/wire"
)

// A connection or a user named twice hears an event once, a member of two groups
// twice: as ASP.NET Core has it.
func TestNamedTwice(t *testing.T) {
	const note hubwire.Event[string] = "Note"
	hub := hubwire.New(nil)
	server := hubtest.New(t, hub)
	ann, bob := server.DialUser(t, "ann"), server.DialUser(t, "bob")
	for _, to := range []hubwire.Target{
		hub.User("bob", "ann", "bob"),
		hub.Conns(bob.ID(), "nobody", bob.ID(), ann.ID()),
		hub.User("bob", "ann"),
	} {
		if err := note.Send(t.Context(), to, "hi"); err != nil {
			t.Fatal(err)
		}
		hubtest.Next(t, ann, note)
		hubtest.Next(t, bob, note)
		hubtest.WantNone(t, ann, note)
		hubtest.WantNone(t, bob, note)
	}
}

// The text of an answer of the wrong type names the type that was wanted, also
// where that is a pointer.
func TestAnswerOfWrongType(t *testing.T) {
	const question hubwire.ClientMethod[hubwire.None, *string] = "Answer"
	const answer hubwire.ClientMethod[hubwire.None, int] = "Answer"
	server := hubtest.New(t, hubwire.New(nil))
	ann := server.Dial(t, answer.With(func(context.Context, hubwire.None) (int, error) { return 1, nil }))
	_, err := question.Call(t.Context(), ann.Conn(), hubwire.None{})
	if want := "Error trying to deserialize result to String. "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v, want %s…", err, want)
	}
}

// A question to a connection that is not there says so.
func TestAskNobody(t *testing.T) {
	const question hubwire.ClientMethod[hubwire.None, string] = "Answer"
	hub := hubwire.New(nil)
	hubtest.New(t, hub)
	_, err := question.Call(t.Context(), hub.Conn("nobody"), hubwire.None{})
	if e, ok := errors.AsType[*wire.ConnError](err); !ok || e.Left || e.Text() != "Connection 'nobody' does not exist." {
		t.Errorf("got %v", err)
	}
}
