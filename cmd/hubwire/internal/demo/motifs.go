package demo

// A motif is a small picture: rows of colours, a dot where there is none.
type motif struct {
	Name string   `json:"name" msgpack:"name"`
	Rows []string `json:"rows" msgpack:"rows"`
}

// motifSize is the height and width of every motif.
const motifSize = 8

// at is the colour of a cell, 0 for none.
func (m *motif) at(x, y int) byte {
	if c := m.Rows[y][x]; c != '.' {
		return c - '0'
	}
	return 0
}

func motifNamed(name string) *motif {
	for i := range motifs {
		if motifs[i].Name == name {
			return &motifs[i]
		}
	}
	return nil
}

// The colours are those of the page: 1 ink, 2 copper, 3 coral, 4 amber,
// 5 green, 6 teal, 7 blue, 8 violet.
var motifs = []motif{
	{"heart", []string{
		".33..33.",
		"33333333",
		"3.333333",
		"33333333",
		".333333.",
		"..3333..",
		"...33...",
		"........",
	}},
	{"ghost", []string{
		"..8888..",
		".888888.",
		"8..88..8",
		"8.188.18",
		"88888888",
		"88888888",
		"88888888",
		"8.8..8.8",
	}},
	{"fish", []string{
		"........",
		"...666..",
		"4.66666.",
		"44666166",
		"44666666",
		"4.66666.",
		"...666..",
		"........",
	}},
	{"mushroom", []string{
		"..3333..",
		".33..33.",
		"333..333",
		"3.3333.3",
		"33333333",
		"..4444..",
		"..4444..",
		"..4444..",
	}},
	{"cat", []string{
		"2......2",
		"22....22",
		"22222222",
		"21222212",
		"22222222",
		"22233222",
		".222222.",
		"..2222..",
	}},
	{"boat", []string{
		"....1...",
		"...71...",
		"..771...",
		".7771...",
		"77771...",
		"....1...",
		"22222222",
		".222222.",
	}},
	{"tree", []string{
		"...55...",
		"..5555..",
		".555555.",
		"..5555..",
		".555555.",
		"55555555",
		"...22...",
		"...22...",
	}},
	{"key", []string{
		"........",
		".444....",
		"44.44...",
		"4...4444",
		"44.44.44",
		".444...4",
		"........",
		"........",
	}},
	{"rocket", []string{
		"...77...",
		"..7777..",
		"..7117..",
		"..7777..",
		".377773.",
		"33777733",
		"3..44..3",
		"...44...",
	}},
	{"house", []string{
		"...33...",
		"..3333..",
		".333333.",
		"33333333",
		".444444.",
		".466424.",
		".466424.",
		".444424.",
	}},
	{"cup", []string{
		"..1.1...",
		".1.1....",
		"........",
		"666666..",
		"66666666",
		"666666.6",
		"66666666",
		".6666...",
	}},
	{"star", []string{
		"...44...",
		"...44...",
		"44444444",
		".444444.",
		"..4444..",
		".444444.",
		".44..44.",
		"44....44",
	}},
}
