// Package hubtest is a wire in memory, with clients, for tests of hubs. It
// needs no socket and no sleep, and works in a [testing/synctest] bubble and
// outside of one:
//
//	func TestLobby(t *testing.T) {
//		server := hubtest.New(t, newHub())
//		ann, bob := server.Dial(t), server.DialUser(t, "bob")
//		if err := Send.Call(t.Context(), ann, Message{Text: "hi"}); err != nil {
//			t.Fatal(err)
//		}
//		if got := hubtest.Next(t, bob, Received); got.Text != "hi" {
//			t.Errorf("bob got %v", got)
//		}
//		hubtest.WantNone(t, ann, Received)
//	}
//
// A [Client] is a hubwire.Caller: every name calls the hub through it. Events
// for which Dial was given no handler wait for [Next], [Got] and [WantNone].
// Values are encoded and decoded on the way, in JSON or MessagePack, so what
// works here works on a real wire.
//
// What goes wrong with real clients can be had on purpose: [Block], Stall and
// Limit make one that is slow, Drop one that is lost. A [Backplane] in memory
// makes several hubs the nodes of one.
//
// Everything ends with the test: the cleanup of [New] closes the clients and
// waits for them. A client without anything to do owns no goroutine.
//
// [TestWire] and [TestBackplane] are what every wire and every backplane must
// pass.
package hubtest
