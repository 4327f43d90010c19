// Package glob matches whole texts against patterns in which * stands for any text and
// ? for one character: appendices, "Glob-style matching".
//
// A [Pattern] is compiled once. A [Set] finds the patterns of many that match a text,
// without trying them all: a pattern without wildcards is looked up, and of the others
// only those are tried of which the text has four bytes in a row. Patterns come from
// strangers: their length is bounded, and so is how many are tried for one text.
package glob
