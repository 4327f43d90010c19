package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"homeserver/internal/matrixtest"
)

// result is what came of a run of the program.
type result struct {
	code           int
	stdout, stderr string
}

func runIn(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	var stdout, stderr strings.Builder
	code := execute(t.Context(), args, environ, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// The whole of it, in small: every case runs, against a server in a process of its own, and the run fails
// where a message is lost, doubled or out of order.
func TestBenchMeasuresEverything(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	dir := t.TempDir()
	figures, document := filepath.Join(dir, "figures.json"), filepath.Join(dir, "document.md")
	if err := os.WriteFile(document, []byte("Before.\n<!-- homeserver-bench -->\n<!-- end -->\nAfter.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// What would configure a server is for another one.
	environ := append(os.Environ(), "HOMESERVER_DATABASE_URL=nonsense", "HOMESERVER_UNKNOWN=nonsense")
	got := runIn(t, environ, "--quick", "--json", figures, "--document", document)
	if got.code != exitOK {
		t.Fatalf("code %d: %s", got.code, got.stderr)
	}
	if !strings.Contains(got.stderr, "Sending messages: done in ") {
		t.Errorf("says nothing of its progress: %s", got.stderr)
	}
	if text := readFile(t, document); text != "Before.\n<!-- homeserver-bench -->\n\n"+got.stdout+"\n<!-- end -->\nAfter.\n" {
		t.Errorf("the document is %s", text)
	}
	var report struct {
		Families []struct {
			Cases []struct {
				Name    string
				Figures []struct {
					Name              string
					Measured, Ceiling float64
					Ratio             *float64
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, figures)), &report); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range report.Families {
		for _, c := range f.Cases {
			names = append(names, c.Name)
			if !strings.Contains(got.stdout, "\n| "+c.Name+" ") {
				t.Errorf("the table has no row of %s:\n%s", c.Name, got.stdout)
			}
			ceilings := 0
			for _, figure := range c.Figures {
				if figure.Ratio != nil {
					ceilings++
				}
				if figure.Name == "once and in order" && *figure.Ratio != 1 {
					t.Errorf("delivered %v of %v", figure.Measured, figure.Ceiling)
				}
			}
			if ceilings == 0 {
				t.Errorf("%s stands without a ceiling: %+v", c.Name, c.Figures)
			}
		}
	}
	if all := caseNames(true); len(names) != len(all) {
		t.Errorf("measured %q, not all of %q", names, all)
	}
}

func TestBenchListsItsCases(t *testing.T) {
	t.Parallel()
	got := runIn(t, nil, "--list")
	if got.code != exitOK || !slices.Contains(strings.Split(got.stdout, "\n"), "send/256 into one room") {
		t.Errorf("got %+v", got)
	}
}

func TestMistakesInCallingBench(t *testing.T) {
	matrixtest.Long(t)
	t.Parallel()
	for arg, want := range map[string]result{
		"--only=(":          {code: exitUsage, stderr: "-only: "},
		"nonsense":          {code: exitUsage, stderr: "takes no argument"},
		"--only=nonsense":   {code: exitFailure, stderr: "no case has such a name"},
		"--server=nonsense": {code: exitFailure, stderr: "start the server: "},
	} {
		got := runIn(t, nil, arg)
		if got.code != want.code || !strings.Contains(got.stderr, want.stderr) {
			t.Errorf("%s: got %+v, want %+v", arg, got, want)
		}
	}
}
