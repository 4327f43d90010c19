package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"homeserver/internal/doctor"
	"homeserver/internal/postgres/postgrestest"
	"homeserver/internal/progress"
)

func TestMain(m *testing.M) { postgrestest.Main(m) }

// connect opens a connection to a database with a table of pets, some of which have a
// wrong number of legs.
func connect(t *testing.T, wrong int) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), postgrestest.URL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	exec(t, conn, `CREATE TABLE pets (name text PRIMARY KEY, legs int, owner text)`)
	exec(t, conn, `INSERT INTO pets SELECT 'cat ' || n, 4, 'alice' FROM generate_series(1, 3) n`)
	exec(t, conn, `INSERT INTO pets SELECT 'fly ' || to_char(n, 'FM0000'), 5, 'bob' FROM generate_series(1, $1::int) n`, wrong)
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// legs returns a check of the number of legs.
func legs(repair ...string) doctor.Check {
	return doctor.Rows{
		Title:  "Pets: legs",
		Find:   `SELECT format('%s has %s legs', name, legs) FROM pets WHERE legs % 2 = 1 ORDER BY name`,
		Repair: repair,
	}.Check()
}

// bars shows progress as the server's command does.
func bars(w io.Writer) func(string, int64) doctor.Bar {
	return func(title string, steps int64) doctor.Bar { return progress.New(w, title, steps) }
}

// run makes checks, and returns what was written.
func run(t *testing.T, conn *pgx.Conn, repair bool, checks ...doctor.Check) (doctor.Summary, string) {
	t.Helper()
	var out strings.Builder
	s, err := doctor.Run(t.Context(), conn, checks, repair, &out, bars(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	return s, out.String()
}

func TestWhatIsInOrderIsOneLine(t *testing.T) {
	t.Parallel()
	conn := connect(t, 0)
	for _, repair := range []bool{false, true} {
		if s, out := run(t, conn, repair, legs(`DELETE FROM pets`)); s != (doctor.Summary{}) || out != "ok        Pets: legs\n" {
			t.Errorf("%+v: %q", s, out)
		}
	}
}

func TestWhatIsWrongIsTold(t *testing.T) {
	t.Parallel()
	conn := connect(t, 2)
	want := "WRONG     Pets: legs\n            fly 0001 has 5 legs\n            fly 0002 has 5 legs\n"
	if s, out := run(t, conn, false, legs(`UPDATE pets SET legs = 6`)); s != (doctor.Summary{Wrong: 2}) || out != want {
		t.Errorf("%+v: %q", s, out)
	}
	if s, out := run(t, conn, true, legs()); s != (doctor.Summary{Wrong: 2}) || out != want {
		t.Errorf("what cannot be repaired: %+v: %q", s, out)
	}
}

func TestRepairIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	conn := connect(t, 3)
	half := legs(`UPDATE pets SET legs = 6 WHERE name = 'fly 0002'`)
	s, out := run(t, conn, true, half)
	if s != (doctor.Summary{Wrong: 3, Repaired: 1}) || s.Remaining() != 2 || !strings.HasPrefix(out, "WRONG ") ||
		!strings.Contains(out, "fly 0002 has 5 legs (repaired)\n") || !strings.Contains(out, "fly 0003 has 5 legs\n") {
		t.Errorf("%+v: %q", s, out)
	}
	s, out = run(t, conn, true, legs(`UPDATE pets SET legs = 6 WHERE legs = 5`))
	if s != (doctor.Summary{Wrong: 2, Repaired: 2}) || !strings.HasPrefix(out, "repaired  Pets: legs\n") {
		t.Errorf("%+v: %q", s, out)
	}
	if s, _ := run(t, conn, false, half); s.Wrong != 0 {
		t.Errorf("in the end: %+v", s)
	}
}

func TestRepairIsAllOrNothing(t *testing.T) {
	t.Parallel()
	conn := connect(t, 1)
	_, err := doctor.Run(t.Context(), conn, []doctor.Check{legs(`UPDATE pets SET legs = 6`, `SELECT 1/0`)}, true, io.Discard, bars(io.Discard))
	if err == nil || !strings.Contains(err.Error(), "pets: legs: repair:") {
		t.Errorf("got %v", err)
	}
	if s, _ := run(t, conn, false, legs()); s.Wrong != 1 {
		t.Errorf("after that: %+v", s)
	}
}

func TestOfManyFindingsTheNumberIsTold(t *testing.T) {
	t.Parallel()
	s, out := run(t, connect(t, 1000), false, legs())
	if s.Wrong != 1000 || strings.Count(out, "\n") != 22 || !strings.HasSuffix(out, "… and 980 more\n") {
		t.Errorf("%+v: %q", s, out)
	}
}

func TestOrphans(t *testing.T) {
	t.Parallel()
	conn := connect(t, 2)
	exec(t, conn, `CREATE TABLE people (id text)`)
	exec(t, conn, `INSERT INTO people VALUES ('alice')`)
	check := doctor.Orphans("Pets: owners", "pets", "owner", "people", "id").Check()
	if s, out := run(t, conn, false, check); s.Wrong != 2 || !strings.Contains(out, "a row of pets is of bob") {
		t.Errorf("%+v: %q", s, out)
	}
	if s, _ := run(t, conn, true, check); s != (doctor.Summary{Wrong: 2, Repaired: 2}) {
		t.Errorf("%+v", s)
	}
	var left int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pets`).Scan(&left); err != nil || left != 3 {
		t.Errorf("%d pets are left (%v)", left, err)
	}
}

// What strangers have written must not move the cursor of the operator's terminal.
func TestFindingsCannotDriveATerminal(t *testing.T) {
	t.Parallel()
	_, out := run(t, nil, false, doctor.Check{Title: "Names", Look: func(_ context.Context, e *doctor.Exam) error {
		e.Found("the name is \x1b[2Jü\r\nok \u202e")
		return nil
	}})
	if !strings.Contains(out, "the name is \ufffd[2Jü\ufffd\ufffdok \ufffd\n") {
		t.Errorf("got %q", out)
	}
}

func TestErrorEndsTheExam(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	broken := errors.New("no database")
	checks := []doctor.Check{
		{Title: "First", Look: func(context.Context, *doctor.Exam) error { return nil }},
		{Title: "Second", Look: func(_ context.Context, e *doctor.Exam) error { e.Expect(5); e.Step(1); return broken }},
		{Title: "Third", Look: func(context.Context, *doctor.Exam) error { t.Error("went on"); return nil }},
	}
	_, err := doctor.Run(t.Context(), nil, checks, false, &out, bars(io.Discard))
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "second: ") || out.String() != "ok        First\n" {
		t.Errorf("got %v, and %q", err, out.String())
	}
}

func TestProgressIsShown(t *testing.T) {
	t.Parallel()
	var shown strings.Builder
	_, err := doctor.Run(t.Context(), nil, []doctor.Check{{Title: "Steps", Look: func(_ context.Context, e *doctor.Exam) error {
		e.Expect(3)
		for i := range 3 {
			e.Step(1)
			e.Found("step %d", i)
		}
		return nil
	}}}, false, io.Discard, bars(&shown))
	if err != nil || !strings.HasPrefix(shown.String(), "Steps: done in ") {
		t.Errorf("got %q (%v)", shown.String(), err)
	}
	if _, err := doctor.Run(t.Context(), nil, []doctor.Check{{Title: "A", Look: func(context.Context, *doctor.Exam) error { return nil }}}, false, brokenPipe{}, bars(io.Discard)); err == nil {
		t.Error("findings that could not be written were not missed")
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, fmt.Errorf("nobody reads") }
