package plantest

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Node is a node of a plan, as PostgreSQL describes it.
type Node struct {
	Type  string `json:"Node Type"`
	Table string `json:"Relation Name"`
	Index string `json:"Index Name"`
	Cond  string `json:"Index Cond"`
	// What it did, if the statement was run: rows are those of each loop.
	Rows      float64 `json:"Actual Rows"`
	Loops     float64 `json:"Actual Loops"`
	Filtered  float64 `json:"Rows Removed by Filter"`
	Rechecked float64 `json:"Rows Removed by Index Recheck"`
	Hit       int     `json:"Shared Hit Blocks"` // with those of its parts
	Read      int     `json:"Shared Read Blocks"`
	Plans     []Node  `json:"Plans"`
}

// All returns the node and all below it.
func (n Node) All() iter.Seq[Node] {
	return func(yield func(Node) bool) { n.each(yield) }
}

func (n Node) each(yield func(Node) bool) bool {
	return yield(n) && !slices.ContainsFunc(n.Plans, func(part Node) bool { return !part.each(yield) })
}

// Uses reports whether a plan uses an index.
func (n Node) Uses(index string) bool {
	for part := range n.All() {
		if part.Index == index {
			return true
		}
	}
	return false
}

// Pages returns how many pages a statement looked at.
func (n Node) Pages() int { return n.Hit + n.Read }

// Looked returns how many rows of tables it looked at.
func (n Node) Looked() int {
	rows := 0.
	for part := range n.All() {
		if part.Table != "" {
			rows += (part.Rows + part.Filtered + part.Rechecked) * part.Loops
		}
	}
	return int(rows)
}

// Whole returns the nodes that read all of one of some tables, or of an index of one.
func (n Node) Whole(tables ...string) (whole []Node) {
	for part := range n.All() {
		of := func(table string) bool { return strings.HasPrefix(part.Table+part.Index, table) }
		if (part.Type == "Seq Scan" || part.Index != "" && part.Cond == "") && slices.ContainsFunc(tables, of) {
			whole = append(whole, part)
		}
	}
	return whole
}

// String returns the plan with a line for each node: what it did, and how it was found.
func (n Node) String() string {
	var b strings.Builder
	n.write(&b, "")
	return b.String()
}

func (n Node) write(b *strings.Builder, indent string) {
	fmt.Fprintf(b, "%s%s %s", indent, n.Type, n.Table)
	if n.Index != "" {
		fmt.Fprintf(b, " by %s %s", n.Index, n.Cond)
	}
	fmt.Fprintf(b, ": %.0f rows, %.0f left out, %.0f times, %d pages\n", n.Rows, n.Filtered+n.Rechecked, n.Loops, n.Pages())
	for _, part := range n.Plans {
		part.write(b, indent+"  ")
	}
}
