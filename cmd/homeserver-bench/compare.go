package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// readReport reads a report that an earlier run has written as JSON.
func readReport(file string) (*Report, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the figures of another run: %w", err)
	}
	r := &Report{}
	if err := json.Unmarshal(content, r); err != nil {
		return nil, fmt.Errorf("read the figures of another run: %s: %w", file, err)
	}
	return r, nil
}

// comparison is what two runs have measured, as Markdown.
func comparison(before, now *Report) string {
	var text strings.Builder
	fmt.Fprintf(&text, "Before: %sNow: %sEach cell: now ÷ before = quotient. What has no quotient is new, or was nothing before.\n",
		before.Machine.line(), now.Machine.line())
	if before.Machine.Quick || now.Machine.Quick {
		text.WriteString("The sizes are those of a test: these figures mean nothing.\n")
	}
	earlier := before.figures()
	for _, f := range now.Families {
		fmt.Fprintf(&text, "\n### %s\n\n", f.Name)
		writeTable(&text, f.since(earlier).table())
	}
	return text.String()
}

// figureKey names a figure of a report.
type figureKey struct{ family, row, figure string }

func (r *Report) figures() map[figureKey]float64 {
	all := map[figureKey]float64{}
	for _, f := range r.Families {
		for _, c := range f.Cases {
			for _, figure := range c.Figures {
				all[figureKey{f.Name, c.Name, figure.Name}] = figure.Measured
			}
		}
	}
	return all
}

// since returns the family with what was measured before in the place of ceilings.
func (f *Family) since(earlier map[figureKey]float64) *Family {
	out := &Family{Name: f.Name}
	for _, c := range f.Cases {
		row, known := Case{Name: c.Name}, false
		for _, figure := range c.Figures {
			before, ok := earlier[figureKey{f.Name, c.Name, figure.Name}]
			known = known || ok
			figure.Ceiling = before
			row.Figures = append(row.Figures, figure)
		}
		if !known {
			row.Name += " (new)"
		}
		out.Cases = append(out.Cases, row)
	}
	return out
}
