package demo

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubwire/hubwire"
	"github.com/hubwire/hubwire/hubtest"
)

// bubble runs a test with a demo of its own, in time that costs nothing.
func bubble(t *testing.T, test func(t *testing.T, d *Demo, s *hubtest.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := New(slog.New(slog.DiscardHandler))
		test(t, d, hubtest.New(t, d.Hub()))
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantCode fails the test unless err is the hub's, with this code.
func wantCode(t *testing.T, err error, want hubwire.Code) {
	t.Helper()
	if e, ok := errors.AsType[*hubwire.Error](err); !ok || e.Code != want {
		t.Errorf("error %v, want one of code %v", err, want)
	}
}

// sit enters a room and takes what the hub says about it.
func sit(t *testing.T, c *hubtest.Client, room string) (person, snapshot) {
	t.Helper()
	p, err := enter.Call(t.Context(), c, entry{Room: room})
	check(t, err)
	return p, hubtest.Next(t, c, entered)
}

// room finds one by name.
func (d *Demo) room(name string) *room {
	for _, r := range d.rooms {
		if r.name == name {
			return r
		}
	}
	return nil
}

// boardNow is the board as a snapshot has it.
func (r *room) boardNow() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.snapshotLocked(0).Board, "\n")
}

func TestEnteringTellsAllAboutTheRoom(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		ann, bob := s.Dial(t), s.Dial(t)
		annIs, _ := sit(t, ann, "Lobby")
		bobIs, err := enter.Call(t.Context(), bob, entry{Room: "Lobby", Name: " Bob \n the  Builder\x00 "})
		check(t, err)
		if bobIs.Name != "Bob the Builder" || bobIs.Bot || bobIs.Colour == annIs.Colour {
			t.Errorf("bob is %+v, beside %+v", bobIs, annIs)
		}
		got := hubtest.Next(t, bob, entered)
		if got.Room != "Lobby" || got.You != bobIs.ID || len(got.People) != 5 || got.People[3] != annIs || got.People[4] != bobIs {
			t.Errorf("bob entered %+v", got)
		}
		if len(got.Board) != height || len(got.Board[0]) != width || strings.Trim(strings.Join(got.Board, ""), "0") == "" {
			t.Errorf("the board is empty or of a wrong size: %q", got.Board)
		}
		if p := hubtest.Next(t, ann, came); p != bobIs {
			t.Errorf("ann saw %+v come, want %+v", p, bobIs)
		}
		hubtest.WantNone(t, bob, came)
	})
}

func TestSnapshotAndStrokesAreTheBoard(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		painter := s.Dial(t, painted.With(hubtest.Discard))
		sit(t, painter, "Attic")
		done := make(chan error, 1)
		go func() { // every cell once: a stroke that is missed stays missed; ends by itself
			var err error
			for n := range width * height {
				err = errors.Join(err, paint.Call(t.Context(), painter, dab{X: n % width, Y: n / width, Colour: 1 + n%8}))
			}
			done <- err
		}()
		boards := map[*hubtest.Client][]string{}
		for len(done) == 0 && len(boards) < 25 { // people who come meanwhile
			c := s.Dial(t, came.With(hubtest.Discard))
			_, got := sit(t, c, "Attic")
			boards[c] = got.Board
		}
		check(t, <-done)

		want := d.room("Attic").boardNow()
		for c, rows := range boards {
			cells := []byte(strings.Join(rows, "\n"))
			strokes := hubtest.Got(t, c, painted)
			for _, p := range strokes {
				cells[p.Y*(width+1)+p.X] = '0' + byte(p.Colour)
			}
			if string(cells) != want {
				t.Errorf("%d strokes later a page shows\n%s\nwant\n%s", len(strokes), cells, want)
			}
		}
	})
}

func TestEverybodySeesStrokesInOneOrder(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		painters := []*hubtest.Client{s.Dial(t), s.Dial(t), s.DialWith(t, &hubtest.DialOptions{Protocol: "messagepack"})}
		for _, c := range painters {
			sit(t, c, "Attic")
		}
		done := make(chan error)
		for i, c := range painters {
			go func() {
				var err error
				for n := range 200 {
					err = errors.Join(err, paint.Send(t.Context(), c, dab{X: 5, Y: n % 2, Colour: i + 1}))
				}
				done <- err
			}()
		}
		for range painters {
			check(t, <-done)
		}
		synctest.Wait()
		first := hubtest.Got(t, painters[0], painted)
		if len(first) != 600 {
			t.Fatalf("%d strokes arrived, want 600", len(first))
		}
		for _, c := range painters[1:] {
			for i, p := range hubtest.Got(t, c, painted) {
				if p != first[i] {
					t.Fatalf("stroke %d is %+v for one and %+v for another", i, p, first[i])
				}
			}
		}
	})
}

func TestSomethingMovesAtOnceAndNothingWithoutGuests(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		lobby := d.room("Lobby")
		time.Sleep(time.Hour)
		if _, n := lobby.count(); n != 0 {
			t.Errorf("%d cells were painted for nobody", n)
		}
		c := s.Dial(t)
		sit(t, c, "Lobby")
		time.Sleep(3 * time.Second)
		if len(hubtest.Got(t, c, painted)) == 0 || len(hubtest.Got(t, c, moved)) == 0 {
			t.Error("nothing moves after three seconds")
		}
		check(t, c.Close())
		synctest.Wait()
		_, before := lobby.count()
		time.Sleep(time.Hour)
		if _, after := lobby.count(); after != before {
			t.Errorf("%d cells were painted after the last guest left", after-before)
		}
	})
}

func TestBotsKeepAwayFromPeople(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		c := s.Dial(t)
		me, _ := sit(t, c, "Studio")
		for y := 4; y < height; y += slotHeight {
			for x := slotLeft + 4; x < width; x += slotWidth {
				check(t, paint.Call(t.Context(), c, dab{X: x, Y: y, Colour: 1}))
			}
		}
		time.Sleep(respect - 5*time.Second)
		for _, p := range hubtest.Got(t, c, painted) {
			if p.Who != me.ID {
				t.Fatalf("a bot painted over a person: %+v", p)
			}
		}
		time.Sleep(30 * time.Second)
		if len(hubtest.Got(t, c, painted)) == 0 {
			t.Error("the bots never came back")
		}
	})
}

func TestCommission(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		var asked question
		c := s.Dial(t, chooseMotif.With(func(_ context.Context, q question) (string, error) {
			asked = q
			return q.Motifs[2], nil
		}))
		sit(t, c, "Attic")
		got, err := commission.Call(t.Context(), c, hubwire.None{})
		check(t, err)
		if got.Bot != "Mouse" || got.Motif != asked.Motifs[2] || len(asked.Motifs) != 4 || asked.Bot != "Mouse" {
			t.Fatalf("asked %+v, ordered %+v", asked, got)
		}
		time.Sleep(30 * time.Second)
		if board := d.room("Attic").boardNow(); !shows(board, motifNamed(got.Motif)) {
			t.Errorf("half a minute later there is no %s:\n%s", got.Motif, board)
		}
	})
}

// shows reports whether a motif stands somewhere on an otherwise empty board.
func shows(board string, m *motif) bool {
	rows := strings.Split(board, "\n")
	for top := range height - motifSize + 1 {
		for left := range width - motifSize + 1 {
			ok := true
			for y := range motifSize {
				for x := range motifSize {
					ok = ok && rows[top+y][left+x]-'0' == m.at(x, y)
				}
			}
			if ok {
				return true
			}
		}
	}
	return false
}

func TestCommissionNeedsAnAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		never := make(chan struct{})
		defer close(never)
		silent := s.Dial(t, chooseMotif.With(func(context.Context, question) (string, error) {
			<-never
			return "heart", nil
		}))
		sit(t, silent, "Attic")
		began := time.Now()
		_, err := commission.Call(t.Context(), silent, hubwire.None{})
		wantCode(t, err, hubwire.CodeDeadlineExceeded)
		if took := time.Since(began); took != answerTime {
			t.Errorf("it took %v, want %v", took, answerTime)
		}

		wrong := s.Dial(t, chooseMotif.With(func(context.Context, question) (string, error) { return "castle", nil }))
		sit(t, wrong, "Attic")
		_, err = commission.Call(t.Context(), wrong, hubwire.None{})
		wantCode(t, err, hubwire.CodeInvalidArgument)
	})
}

func TestStamp(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		c := s.Dial(t)
		me, _ := sit(t, c, "Attic")
		n, err := stamp.Call(t.Context(), c, items(cell{1, 2, 3}, cell{41, 27, 8}))
		check(t, err)
		got := hubtest.Got(t, c, painted)
		if n != 2 || len(got) != 2 || got[0] != (stroke{Who: me.ID, X: 1, Y: 2, Colour: 3}) || got[1] != (stroke{Who: me.ID, X: 41, Y: 27, Colour: 8}) {
			t.Errorf("%d cells, %+v", n, got)
		}
		for _, bad := range []cell{{-1, 0, 0}, {width, 0, 0}, {0, height, 0}, {0, -1, 0}, {0, 0, colours}, {0, 0, -1}} {
			_, err := stamp.Call(t.Context(), c, items(bad))
			wantCode(t, err, hubwire.CodeOutOfRange)
		}
		endless := func(yield func(cell, error) bool) {
			for yield(cell{}, nil) {
			}
		}
		_, err = stamp.Call(t.Context(), c, endless)
		wantCode(t, err, hubwire.CodeResourceExhausted)
	})
}

func items(all ...cell) iter.Seq2[cell, error] {
	return func(yield func(cell, error) bool) {
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

func TestPulse(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		c, other := s.Dial(t), s.Dial(t)
		sit(t, c, "Attic")
		sit(t, other, "Attic")
		began, n := time.Now(), 0
		for b, err := range pulse.Open(t.Context(), c, 500) {
			check(t, err)
			if b.People != 2 || b.Goroutines == 0 || b.HeapKB == 0 {
				t.Errorf("beat %+v", b)
			}
			if n == 1 {
				check(t, paint.Call(t.Context(), c, dab{X: 1, Y: 1, Colour: 1}))
			}
			if n++; n == 3 {
				if b.Cells != 1 || b.Events != 1 {
					t.Errorf("after one stroke the beat is %+v", b)
				}
				break
			}
		}
		if took := time.Since(began); took != 1500*time.Millisecond {
			t.Errorf("three beats took %v", took)
		}
	})
}

func TestMovesGoToTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		ann, bob, cat := s.Dial(t), s.Dial(t), s.Dial(t)
		me, _ := sit(t, ann, "Attic")
		sit(t, bob, "Attic")
		sit(t, cat, "Studio")
		check(t, move.Call(t.Context(), ann, spot{X: 3.5, Y: 1e9}))
		if got := hubtest.Next(t, bob, moved); got != (step{Who: me.ID, X: 3.5, Y: height}) {
			t.Errorf("bob saw %+v", got)
		}
		hubtest.WantNone(t, ann, moved)
		for _, m := range hubtest.Got(t, cat, moved) {
			if m.Who == me.ID {
				t.Error("a cursor left its room")
			}
		}
	})
}

func TestChangingRooms(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		ann, bob := s.Dial(t), s.Dial(t)
		first, _ := sit(t, ann, "Attic")
		sit(t, bob, "Attic")
		second, got := sit(t, ann, "Studio")
		if got.Room != "Studio" || second.ID == first.ID {
			t.Errorf("ann is %+v in %+v", second, got)
		}
		if id := hubtest.Next(t, bob, left); id != first.ID {
			t.Errorf("bob saw %d leave, want %d", id, first.ID)
		}
		hubtest.Got(t, ann, painted)
		check(t, paint.Call(t.Context(), bob, dab{X: 1, Y: 1, Colour: 1}))
		for _, p := range hubtest.Got(t, ann, painted) {
			t.Errorf("ann still hears the Attic: %+v", p)
		}
		_, err := enter.Call(t.Context(), ann, entry{Room: "Cellar"})
		wantCode(t, err, hubwire.CodeNotFound)
		check(t, paint.Call(t.Context(), ann, dab{X: 1, Y: 1, Colour: 1})) // and is where she was
	})
}

func TestLeavingIsSeen(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		ann, bob := s.Dial(t), s.Dial(t)
		sit(t, ann, "Attic")
		bobIs, _ := sit(t, bob, "Attic")
		bob.Drop()
		if id := hubtest.Next(t, ann, left); id != bobIs.ID {
			t.Errorf("ann saw %d leave, want %d", id, bobIs.ID)
		}
		if n, _ := d.room("Attic").count(); n != 1 {
			t.Errorf("%d guests are left, want 1", n)
		}
	})
}

func TestRename(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		ann, bob := s.Dial(t), s.Dial(t)
		me, _ := sit(t, ann, "Attic")
		sit(t, bob, "Attic")
		name, err := rename.Call(t.Context(), ann, "  Ann\t<b> ")
		check(t, err)
		if got := hubtest.Next(t, bob, renamed); name != "Ann <b>" || got != (nameTag{Who: me.ID, Name: name}) {
			t.Errorf("ann is %q, bob saw %+v", name, got)
		}
		_, err = rename.Call(t.Context(), ann, " \u200b\n")
		wantCode(t, err, hubwire.CodeInvalidArgument)
	})
}

func TestWhoHasNoSeat(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		c := s.Dial(t)
		_, renameErr := rename.Call(t.Context(), c, "x")
		_, stampErr := stamp.Call(t.Context(), c, items())
		_, commissionErr := commission.Call(t.Context(), c, hubwire.None{})
		for _, err := range []error{
			paint.Call(t.Context(), c, dab{}), move.Call(t.Context(), c, spot{}), renameErr, stampErr, commissionErr,
		} {
			wantCode(t, err, hubwire.CodeFailedPrecondition)
		}
		if n, err := echo.Call(t.Context(), c, 7); n != 7 || err != nil {
			t.Errorf("Echo = %d, %v", n, err)
		}
		if all, err := listMotifs.Call(t.Context(), c, hubwire.None{}); len(all) != len(motifs) || err != nil {
			t.Errorf("%d motifs, %v", len(all), err)
		}
	})
}

func TestShutdownTellsPagesToComeBack(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		c := s.Dial(t)
		sit(t, c, "Lobby")
		time.Sleep(time.Second)
		check(t, d.Shutdown(t.Context()))
		hubtest.WantClosed(t, c, hubwire.ErrShutdown)
		if !c.Reconnect() {
			t.Error("the page was told to stay away")
		}
	})
}

func TestShutdownWaitsForNoAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, d *Demo, s *hubtest.Server) {
		asked, never := make(chan struct{}), make(chan struct{})
		defer close(never)
		c := s.Dial(t, chooseMotif.With(func(context.Context, question) (string, error) {
			close(asked)
			<-never
			return "heart", nil
		}))
		sit(t, c, "Attic")
		failed := make(chan error, 1)
		go func() { // ends with the answer to the call
			_, err := commission.Call(t.Context(), c, hubwire.None{})
			failed <- err
		}()
		<-asked
		began := time.Now()
		check(t, d.Shutdown(t.Context()))
		wantCode(t, <-failed, hubwire.CodeUnavailable)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the shutdown took %v", took)
		}
	})
}
