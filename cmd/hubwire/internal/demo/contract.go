package demo

import "github.com/hubwire/hubwire"

// The contract of the demo hub. Payloads that embed Args are lists of
// arguments on the wire, so that a frame reads like the call it is.
const (
	// Enter moves the caller into a room; the answer is who the caller is there.
	enter hubwire.Method[entry, person] = "Enter"
	// Rename changes the caller's name; the answer is the name as others see it.
	rename hubwire.Method[string, string] = "Rename"
	// Move tells where the caller's cursor is.
	move hubwire.Command[spot] = "Move"
	// Paint colours one cell.
	paint hubwire.Command[dab] = "Paint"
	// Motifs is what the bots can draw.
	listMotifs hubwire.Method[hubwire.None, []motif] = "Motifs"
	// Echo answers with its argument: a round trip and nothing else.
	echo hubwire.Method[int, int] = "Echo"
	// Pulse streams what the room and the process do, every so many milliseconds.
	pulse hubwire.ServerStream[int, beat] = "Pulse"
	// Stamp paints the cells that the caller streams up; the answer counts them.
	stamp hubwire.ClientStream[cell, int] = "Stamp"
	// Commission has a bot ask the caller what to draw; the answer says who
	// draws what.
	commission hubwire.Method[hubwire.None, order] = "Commission"

	// ChooseMotif asks a page which of a few motifs a bot shall draw.
	chooseMotif hubwire.ClientMethod[question, string] = "ChooseMotif"

	// Entered is the first event from a room: all there is to know about it.
	entered hubwire.Event[snapshot] = "Entered"
	came    hubwire.Event[person]   = "Came"
	left    hubwire.Event[int]      = "Left"
	renamed hubwire.Event[nameTag]  = "Renamed"
	moved   hubwire.Event[step]     = "Moved"
	painted hubwire.Event[stroke]   = "Painted"
)

type (
	// An entry is a wish to enter a room. An empty name gets a friendly one.
	entry struct {
		hubwire.Args
		Room, Name string
	}

	// A spot is a place on the board, in cells from its upper left corner.
	spot struct {
		hubwire.Args
		X, Y float64
	}

	// A dab is one cell in one colour.
	dab struct {
		hubwire.Args
		X, Y, Colour int
	}

	// A cell is a dab as an item of a stream, which cannot be arguments.
	cell struct {
		X      int `json:"x" msgpack:"x"`
		Y      int `json:"y" msgpack:"y"`
		Colour int `json:"c" msgpack:"c"`
	}

	// A step is a cursor that moved.
	step struct {
		hubwire.Args
		Who  int
		X, Y float64
	}

	// A stroke is a cell that somebody painted.
	stroke struct {
		hubwire.Args
		Who, X, Y, Colour int
	}

	nameTag struct {
		hubwire.Args
		Who  int
		Name string
	}

	// A question of a bot to a page.
	question struct {
		hubwire.Args
		Bot     string
		Motifs  []string
		Seconds int // in which to answer
	}

	// An order is what a bot is going to draw.
	order struct {
		Bot   string `json:"bot" msgpack:"bot"`
		Motif string `json:"motif" msgpack:"motif"`
	}

	// A person is somebody in a room, flesh or bot.
	person struct {
		ID     int    `json:"id" msgpack:"id"`
		Name   string `json:"name" msgpack:"name"`
		Colour int    `json:"colour" msgpack:"colour"`
		Bot    bool   `json:"bot" msgpack:"bot"`
	}

	snapshot struct {
		Room   string   `json:"room" msgpack:"room"`
		You    int      `json:"you" msgpack:"you"`
		People []person `json:"people" msgpack:"people"`
		Board  []string `json:"board" msgpack:"board"` // a row each, a digit per cell
	}

	beat struct {
		People     int `json:"people" msgpack:"people"`         // in the room, without bots
		Cells      int `json:"cells" msgpack:"cells"`           // painted in the room since the last beat
		Events     int `json:"events" msgpack:"events"`         // sent by the hub since the last beat
		Goroutines int `json:"goroutines" msgpack:"goroutines"` // of the process
		HeapKB     int `json:"heapKB" msgpack:"heapKB"`         // in use
	}
)
