package doctor

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Rows is a check whose findings are the rows of a statement.
type Rows struct {
	Title string
	// Find selects one text for each thing that is wrong.
	Find string
	// Repair are statements that put all of it right, in one transaction; none: it
	// cannot be repaired.
	Repair []string
}

// Check makes a check of it.
func (r Rows) Check() Check { return Check{Title: r.Title, Look: r.look} }

func (r Rows) look(ctx context.Context, e *Exam) error {
	before, err := r.find(ctx, e.Conn)
	if err != nil {
		return err
	}
	if before.number == 0 || !e.Repair || len(r.Repair) == 0 {
		before.tell(e.Found)
		return nil
	}
	err = pgx.BeginFunc(ctx, e.Conn, func(tx pgx.Tx) error {
		for _, sql := range r.Repair {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("repair: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	after, err := r.find(ctx, e.Conn)
	if err != nil {
		return err
	}
	after.tell(e.Found)
	before.number = max(0, before.number-after.number)
	before.texts = slices.DeleteFunc(before.texts, func(text string) bool { return slices.Contains(after.texts, text) })
	before.tell(e.Repaired)
	return nil
}

// findings are the first of the texts that were found, and the number of all.
type findings struct {
	texts  []string
	number int
}

func (r Rows) find(ctx context.Context, conn *pgx.Conn) (findings, error) {
	rows, _ := conn.Query(ctx, r.Find)
	var f findings
	var text *string
	_, err := pgx.ForEachRow(rows, []any{&text}, func() error {
		f.number++
		if len(f.texts) < told && text != nil {
			f.texts = append(f.texts, *text)
		}
		return nil
	})
	if err != nil {
		return f, fmt.Errorf("query: %w", err)
	}
	return f, nil
}

// tell calls a function with the findings.
func (f findings) tell(how func(string, ...any)) {
	for i := range f.number {
		text := ""
		if i < len(f.texts) {
			text = f.texts[i]
		}
		how("%s", text)
	}
}

// Orphans returns a check of rows of a table whose column names no row of another
// table. They are removed.
func Orphans(title, table, column, other, key string) Rows {
	missing := ` FROM ` + table + ` t WHERE NOT EXISTS (SELECT FROM ` + other + ` o WHERE o.` + key + ` = t.` + column + `)`
	return Rows{
		Title:  title,
		Find:   `SELECT format('a row of ` + table + ` is of %s, who or which is not in ` + other + `', t.` + column + `)` + missing,
		Repair: []string{`DELETE` + missing},
	}
}
