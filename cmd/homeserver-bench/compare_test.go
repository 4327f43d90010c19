package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// storedSample writes the sample as JSON, after a change.
func storedSample(t *testing.T, change func(r *Report)) (file string) {
	t.Helper()
	r := sample()
	change(r)
	content, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "figures.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTwoRunsAreCompared(t *testing.T) {
	t.Parallel()
	before := storedSample(t, func(r *Report) {
		r.Machine.Load = 1.5
		r.Families[0].Cases = r.Families[0].Cases[:1]
		r.Families[0].Cases[0].Figures = []Figure{{"events", PerSecond, 250, 1000}}
	})
	now, written := storedSample(t, func(*Report) {}), filepath.Join(t.TempDir(), "comparison.md")
	const want = `Before: linux/amd64, 2 processors with a load of 1.5 before the run, PostgreSQL 15, go1.
Now: linux/amd64, 2 processors with a load of 0.2 before the run, PostgreSQL 15, go1.
Each cell: now ÷ before = quotient. What has no quotient is new, or was nothing before.

### Sending

|                 | events                   | p50     | once |
|-----------------|--------------------------|---------|------|
| 1 into one room | 500/s ÷ 250/s = **2.00** | 2.00 ms |      |
| all (new)       |                          | 2.00 µs | 8    |
`
	got := runIn(t, nil, "--before", before, "--after", now, "--comparison", written)
	if got.code != exitOK || got.stdout != want {
		t.Errorf("got %+v\nwant\n%s", got, want)
	}
	if text := readFile(t, written); text != want {
		t.Errorf("wrote\n%s", text)
	}
}

func TestAComparisonWithTestSizesSaysThatItMeansNothing(t *testing.T) {
	t.Parallel()
	before, now := storedSample(t, func(r *Report) { r.Machine.Quick = true }), storedSample(t, func(*Report) {})
	if got := runIn(t, nil, "--before", before, "--after", now); !strings.Contains(got.stdout, "these figures mean nothing") {
		t.Errorf("got %+v", got)
	}
}

func TestMistakesInComparing(t *testing.T) {
	t.Parallel()
	nonsense := filepath.Join(t.TempDir(), "nonsense")
	if err := os.WriteFile(nonsense, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"no such file":      {"--before", nonsense + "none"},
		"invalid character": {"--before", nonsense},
		"needs --before":    {"--after", nonsense},
		"nonsense: invalid": {"--before", storedSample(t, func(*Report) {}), "--after", nonsense},
		"comparison needs":  {"--comparison", nonsense},
	} {
		if got := runIn(t, nil, args...); got.code == exitOK || !strings.Contains(got.stderr, want) {
			t.Errorf("%q: got %+v, want %s", args, got, want)
		}
	}
}
