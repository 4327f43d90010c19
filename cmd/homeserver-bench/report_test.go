package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func sample() *Report {
	return &Report{
		Machine: Machine{Processors: 2, System: "linux/amd64", Go: "go1", PostgreSQL: "15", Load: 0.24},
		Families: []*Family{{
			Name: "Sending", Ceiling: "a bare loop",
			Cases: []Case{
				{"1 into one room", []Figure{{"events", PerSecond, 500, 1000}, {"p50", Micros, 2000, 1000}}},
				{"all", []Figure{{"p50", Micros, 2, 0}, {"once", Events, 8, 8}}},
			},
		}},
	}
}

func TestMarkdownHasOneRowForEachCase(t *testing.T) {
	t.Parallel()
	const want = `linux/amd64, 2 processors with a load of 0.2 before the run, PostgreSQL 15, go1.
Each cell: measured ÷ ceiling = ratio.

### Sending

Ceiling: a bare loop.

|                 | events                    | p50                          | once             |
|-----------------|---------------------------|------------------------------|------------------|
| 1 into one room | 500/s ÷ 1000/s = **0.50** | 2.00 ms ÷ 1.00 ms = **2.00** |                  |
| all             |                           | 2.00 µs                      | 8 ÷ 8 = **1.00** |
`
	if got := sample().Markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestQuickReportSaysThatItMeansNothing(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Machine.Quick = true
	if got := r.Markdown(); !strings.Contains(got, "these figures mean nothing") {
		t.Errorf("got %s", got)
	}
}

func TestFiguresAsPeopleReadThem(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		unit  Unit
		value float64
		want  string
	}{
		{PerSecond, 12345.6, "12346/s"},
		{PerSecond, 9.876, "9.88/s"},
		{Micros, 12.34, "12.3 µs"},
		{Micros, -145, "-145 µs"},
		{Micros, 1234, "1.23 ms"},
		{Micros, 45_600_000, "45.6 s"},
		{Bytes, 1146, "1146 B"},
		{Bytes, 20 << 10, "20.0 KiB"},
		{Bytes, 64 << 20, "64.0 MiB"},
		{Events, 80000, "80000"},
	} {
		if got := test.unit.format(test.value); got != test.want {
			t.Errorf("%v %s: got %s, want %s", test.value, test.unit, got, test.want)
		}
	}
}

func TestJSONHasTheRatioWhereThereIsACeiling(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(sample().Families[0].Cases)
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"name":"1 into one room","figures":[` +
		`{"name":"events","unit":"per second","measured":500,"ceiling":1000,"ratio":0.5},` +
		`{"name":"p50","unit":"µs","measured":2000,"ceiling":1000,"ratio":2}]},` +
		`{"name":"all","figures":[{"name":"p50","unit":"µs","measured":2},` +
		`{"name":"once","unit":"events","measured":8,"ceiling":8,"ratio":1}]}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDocumentGetsTheTablesBetweenItsMarkers(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "document.md")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# Title\n" + beginMarker + "old\n" + endMarker + "The end.\n")
	for range 2 { // the second time changes nothing
		if err := sample().WriteInto(file); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := "# Title\n" + beginMarker + "\n" + sample().Markdown() + "\n" + endMarker + "The end.\n"
		if string(got) != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
	for _, text := range []string{"no markers\n", beginMarker + "no end", endMarker} {
		write(text)
		if err := sample().WriteInto(file); err == nil || !strings.Contains(err.Error(), "has no lines") {
			t.Errorf("%q: got %v", text, err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%q has become %q (%v)", text, got, err)
		}
	}
	if err := sample().WriteInto(file + "none"); err == nil {
		t.Error("a file that is not there: no error")
	}
}
