// Package progress shows how far a long piece of work has come: a bar for a
// person at a terminal, and one line at the end for everybody else.
package progress
