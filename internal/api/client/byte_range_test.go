package client

import (
	"strings"
	"testing"
)

func TestByteRanges(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"bytes=0-0":                    "bytes=0-0",
		"bytes=2-":                     "bytes=2-9",
		"bytes=-3":                     "bytes=7-9",
		"bytes=-300":                   "bytes=0-9",
		"bytes=5-500":                  "bytes=5-9",
		"Bytes=1-2":                    "bytes=1-2",
		"bytes= 1-2 ,,\t4-5,":          "bytes=1-2,4-5",
		"bytes=1-2,50-60":              "bytes=1-2",
		"bytes=0-99999999999999999999": "bytes=0-9",
		"bytes=-99999999999999999999":  "bytes=0-9",

		// Understood, and beyond the end.
		"bytes=10-":                   "bytes=10-",
		"bytes=500-":                  "bytes=10-",
		"bytes=500-600,700-":          "bytes=10-",
		"bytes=-0":                    "bytes=10-",
		"bytes=99999999999999999999-": "bytes=10-",

		// Ignored.
		"items=0-1":      "",
		"bytes":          "",
		"bytes=":         "",
		"bytes=,":        "",
		"bytes=-":        "",
		"bytes=abc":      "",
		"bytes=1":        "",
		"bytes=1-a":      "",
		"bytes=+1-2":     "",
		"bytes=--1":      "",
		"bytes=1-2-3":    "",
		"bytes=5-4":      "",
		"bytes=0-1,junk": "",
		"0-1":            "",
		"bytes=" + strings.Repeat("0-0,", maxRanges+1): "",
	} {
		if got := byteRanges(header, 10); got != want {
			t.Errorf("%s: got %q, want %q", header, got, want)
		}
	}
	if got := byteRanges("bytes=0-", 0); got != "bytes=0-" {
		t.Errorf("of an empty file: got %q", got)
	}
}
