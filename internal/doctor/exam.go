package doctor

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
)

// told is how many findings of a check are printed; of more, only the number is.
const told = 20

// Check is one thing to look at.
type Check struct {
	// Title says what should be in order, such as "Rooms: numbers of members".
	Title string
	// Look checks it and reports findings to the exam. An error ends the exam.
	Look func(ctx context.Context, e *Exam) error
}

// Bar shows how far a check has come.
type Bar interface {
	// Add is called when so many more steps have been taken.
	Add(steps int64)
	// Done is called when the check is finished, Stop when it was broken off.
	Done()
	Stop()
}

// Exam is one run of one check.
type Exam struct {
	// Conn is the connection for looking and for repairing.
	Conn *pgx.Conn
	// Repair is true if findings are to be repaired where that is possible.
	Repair bool

	title    string
	begin    func(title string, steps int64) Bar
	bar      Bar
	lines    []string
	wrong    int
	repaired int
}

// Expect sets how many steps the check will have; without it there is no bar.
func (e *Exam) Expect(steps int64) {
	e.bar = e.begin(e.title, steps)
}

// Step adds steps that have been done.
func (e *Exam) Step(steps int64) {
	if e.bar != nil {
		e.bar.Add(steps)
	}
}

// Found reports something that is wrong and stays so.
func (e *Exam) Found(format string, args ...any) {
	e.wrong++
	e.addLine(fmt.Sprintf(format, args...))
}

// Repaired reports something that was wrong and is repaired.
func (e *Exam) Repaired(format string, args ...any) {
	e.wrong++
	e.repaired++
	e.addLine(fmt.Sprintf(format, args...) + " (repaired)")
}

func (e *Exam) addLine(line string) {
	if len(e.lines) < told {
		e.lines = append(e.lines, clean(line))
	}
}

// clean removes characters from a line that could control a terminal: much of it was
// written by strangers.
func clean(line string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, line)
}

// Summary is the outcome of all checks.
type Summary struct{ Wrong, Repaired int }

// Remaining returns how many things are wrong now.
func (s Summary) Remaining() int { return s.Wrong - s.Repaired }

// Run makes the checks one after the other. It writes the findings to out, and shows how
// far it has come with bars, which begin makes.
func Run(
	ctx context.Context, conn *pgx.Conn, checks []Check, repair bool, out io.Writer, begin func(title string, steps int64) Bar,
) (Summary, error) {
	var s Summary
	for _, c := range checks {
		e := &Exam{Conn: conn, Repair: repair, title: c.Title, begin: begin}
		err := c.Look(ctx, e)
		if e.bar != nil && err == nil {
			e.bar.Done()
		} else if e.bar != nil {
			e.bar.Stop()
		}
		if err != nil {
			return s, fmt.Errorf("%s: %w", strings.ToLower(c.Title[:1])+c.Title[1:], err)
		}
		s.Wrong += e.wrong
		s.Repaired += e.repaired
		if _, err := io.WriteString(out, e.report()); err != nil {
			return s, fmt.Errorf("write the findings: %w", err)
		}
	}
	return s, nil
}

// report returns the output of a check.
func (e *Exam) report() string {
	word := "ok"
	switch {
	case e.wrong > e.repaired:
		word = "WRONG"
	case e.wrong > 0:
		word = "repaired"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%-9s %s\n", word, e.title)
	for _, line := range e.lines {
		text.WriteString("            " + line + "\n")
	}
	if more := e.wrong - len(e.lines); more > 0 {
		fmt.Fprintf(&text, "            … and %d more\n", more)
	}
	return text.String()
}
