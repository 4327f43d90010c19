package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"math"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The bounds of what packages import of ours, outside of tests: how many packages each,
// and how many are on the longest chain, the program and the last one included.
const (
	maxImports = 8
	maxChain   = 9
)

// wide are the packages that may import more than maxImports, up to so many.
var wide = map[string]int{
	"cmd/homeserver":                   12,          // the commands: each asks the part that does its work
	"internal/server":                  math.MaxInt, // the wiring: all parts
	"internal/api/client":              math.MaxInt, // the endpoints: all services
	"internal/api/legacy":              math.MaxInt, // the same
	"internal/api/pages":               math.MaxInt, // the same, for people
	"internal/syncstream":              14,          // the parts of /sync, each with what is stored of it
	"internal/appservice/transactions": 13,          // all that is sent, each with what is stored of it
	"internal/devkit/seed":             11,          // all that a seed has, each by its own service
	"internal/auth":                    11,          // accounts, with the sessions, stages and addresses that change with them
	"internal/e2ee/devicekeys":         13,          // what keys follow: accounts, devices, the journal
}

// imports returns which packages of ours each package imports outside of tests, by
// folder. Packages whose name ends in "test" are tests, too.
func imports(t *testing.T) map[string]map[string]bool {
	t.Helper()
	of := map[string]map[string]bool{}
	err := filepath.WalkDir(repository, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "testdata" || strings.HasSuffix(entry.Name(), "test")):
			return fs.SkipDir
		case path.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(repository, filepath.Dir(file))
		if err != nil {
			return err
		}
		if of[folder] == nil {
			of[folder] = map[string]bool{}
		}
		for _, spec := range parsed.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if ours, ok := strings.CutPrefix(name, "homeserver/"); ok && ours != "internal/clock" { // as good as package time
				of[folder][ours] = true
			}
		}
		return nil
	})
	if err != nil || len(of) == 0 {
		t.Fatalf("found %d packages (%v)", len(of), err)
	}
	return of
}

// A package that imports many knows too much, and a long chain makes a change at its end
// one of everything above.
func TestImportsAreFewAndTheirChainsShort(t *testing.T) {
	t.Parallel()
	of := imports(t)
	for folder, ours := range of {
		if most := max(maxImports, wide[folder]); len(ours) > most {
			t.Errorf("%s imports %d packages of ours, more than %d: what it needs for a name only may move to a package below both",
				folder, len(ours), most)
		}
	}
	chains := map[string][]string{}
	var longest func(folder string) []string
	longest = func(folder string) []string {
		if chain, known := chains[folder]; known {
			return chain
		}
		var below []string
		for ours := range of[folder] {
			if chain := longest(ours); len(chain) > len(below) {
				below = chain
			}
		}
		chains[folder] = append([]string{folder}, below...)
		return chains[folder]
	}
	for folder := range of {
		if chain := longest(folder); len(chain) > maxChain {
			t.Errorf("a chain of %d imports, more than %d: %s", len(chain), maxChain, strings.Join(chain, " > "))
		}
	}
}
