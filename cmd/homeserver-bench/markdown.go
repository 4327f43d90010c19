package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

// Markdown writes the report as one table for each family, aligned so that it can
// be read as it stands.
func (r *Report) Markdown() string {
	var text strings.Builder
	text.WriteString(r.Machine.line())
	text.WriteString("Each cell: measured ÷ ceiling = ratio.\n")
	if r.Machine.Quick {
		text.WriteString("The sizes are those of a test: these figures mean nothing.\n")
	}
	for _, f := range r.Families {
		fmt.Fprintf(&text, "\n### %s\n\nCeiling: %s.\n\n", f.Name, f.Ceiling)
		writeTable(&text, f.table())
	}
	return text.String()
}

// line describes the machine.
func (m *Machine) line() string {
	return fmt.Sprintf("%s, %d processors with a load of %.1f before the run, PostgreSQL %s, %s.\n",
		m.System, m.Processors, m.Load, m.PostgreSQL, m.Go)
}

// The markers between which a document has the tables.
const beginMarker, endMarker = "<!-- homeserver-bench -->\n", "<!-- end -->\n"

// WriteInto puts the tables into a Markdown file, in the place of what stands
// between its markers, each on a line of its own.
func (r *Report) WriteInto(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	before, rest, begins := strings.Cut(string(content), beginMarker)
	_, after, ends := strings.Cut(rest, endMarker)
	if !begins || !ends {
		return fmt.Errorf("%s has no lines %q and %q", file, strings.TrimSpace(beginMarker), strings.TrimSpace(endMarker))
	}
	text := before + beginMarker + "\n" + r.Markdown() + "\n" + endMarker + after
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // people read it
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}

// table returns the rows of cells of a family, the heading first: a case a row, a
// figure a column.
func (f *Family) table() [][]string {
	var names []string
	for _, c := range f.Cases {
		for _, figure := range c.Figures {
			if !slices.Contains(names, figure.Name) {
				names = append(names, figure.Name)
			}
		}
	}
	rows := [][]string{append([]string{""}, names...)}
	for _, c := range f.Cases {
		row := make([]string, len(names)+1)
		row[0] = c.Name
		for _, figure := range c.Figures {
			row[slices.Index(names, figure.Name)+1] = figure.String()
		}
		rows = append(rows, row)
	}
	return rows
}

// String writes the figure as people read it.
func (f Figure) String() string {
	ratio, ok := f.Ratio()
	if !ok {
		return f.Unit.format(f.Measured)
	}
	return fmt.Sprintf("%s ÷ %s = **%s**", f.Unit.format(f.Measured), f.Unit.format(f.Ceiling), significant(ratio))
}

// format writes a value with its unit.
func (u Unit) format(v float64) string {
	const thousand, kib, mib = 1000, 1 << 10, 1 << 20
	switch {
	case u == PerSecond:
		return significant(v) + "/s"
	case u == Events:
		return fmt.Sprintf("%.0f", v)
	case u == Bytes && v >= mib:
		return significant(v/mib) + " MiB"
	case u == Bytes && v >= 10*kib:
		return significant(v/kib) + " KiB"
	case u == Bytes:
		return significant(v) + " B"
	case v >= thousand*thousand:
		return significant(v/thousand/thousand) + " s"
	case v >= thousand:
		return significant(v/thousand) + " ms"
	default:
		return significant(v) + " µs"
	}
}

// significant writes a number with as many digits as say something.
func significant(v float64) string {
	const hundred, ten = 100, 10
	switch size := max(v, -v); {
	case size >= hundred:
		return fmt.Sprintf("%.0f", v)
	case size >= ten:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

func writeTable(text *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, row := range rows {
		for column, cell := range row {
			fmt.Fprintf(text, "| %-*s ", widths[column], cell)
		}
		text.WriteString("|\n")
		if i == 0 {
			for _, width := range widths {
				text.WriteString("|" + strings.Repeat("-", width+2))
			}
			text.WriteString("|\n")
		}
	}
}
