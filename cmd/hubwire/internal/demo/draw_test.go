package demo

import (
	"strings"
	"testing"
)

func TestMotifsFitAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for i := range motifs {
		m := &motifs[i]
		if seen[m.Name] || motifNamed(m.Name) != m {
			t.Errorf("%s is there twice", m.Name)
		}
		seen[m.Name] = true
		if len(m.Rows) != motifSize {
			t.Errorf("%s has %d rows", m.Name, len(m.Rows))
		}
		for _, row := range m.Rows {
			if len(row) != motifSize || strings.Trim(row, ".12345678") != "" {
				t.Errorf("%s has the row %q", m.Name, row)
			}
		}
	}
	if motifNamed("castle") != nil {
		t.Error("there is a castle")
	}
}

func TestEveryOrderFillsTheSlot(t *testing.T) {
	for name, order := range map[string]func(w, h int) []point{"rows": byRows, "columns": byColumns, "centre": fromCentre} {
		seen := map[point]bool{}
		for _, p := range order(slotWidth, slotHeight) {
			if p.x < 0 || p.x >= slotWidth || p.y < 0 || p.y >= slotHeight || seen[p] {
				t.Errorf("%s: %v is outside, or there twice", name, p)
			}
			seen[p] = true
		}
		if len(seen) != slotWidth*slotHeight {
			t.Errorf("%s: %d cells of %d", name, len(seen), slotWidth*slotHeight)
		}
	}
}

func TestSlotsLieOnTheBoard(t *testing.T) {
	count := map[int]int{}
	for y := range height {
		for x := range width {
			count[slotAt(x, y)]++
		}
	}
	for i := range slotCount {
		if count[i] != slotWidth*slotHeight {
			t.Errorf("slot %d has %d cells", i, count[i])
		}
	}
	if want := width*height - slotCount*slotWidth*slotHeight; count[-1] != want || len(count) != slotCount+1 {
		t.Errorf("%d cells lie outside of slots, want %d; %d slots", count[-1], want, len(count)-1)
	}
}

func TestTidyName(t *testing.T) {
	for in, want := range map[string]string{
		"Ann":                            "Ann",
		"  Ann \n B ":                    "Ann B",
		"":                               "",
		" \t ":                           "",
		"\u202eevil\u200b":               "evil",
		"bell\x07":                       "bell",
		"bad \xff byte":                  "bad byte",
		"Zoë 🦦":                          "Zoë 🦦",
		strings.Repeat("ä", maxName+5):   strings.Repeat("ä", maxName),
		strings.Repeat("a b", maxName/2): strings.TrimSpace(strings.Repeat("a b", maxName/2)[:maxName]),
	} {
		if got := tidyName(in); got != want {
			t.Errorf("tidyName(%q) = %q, want %q", in, got, want)
		}
	}
	for range 200 {
		if name := friendlyName(); tidyName(name) != name {
			t.Errorf("%q is friendly but not tidy", name)
		}
	}
}
