package postgres

import (
	"context"

	"homeserver/internal/doctor"
)

// Checks returns the checks of the database itself, for the operator's doctor.
func Checks() []doctor.Check {
	return []doctor.Check{
		{Title: "Database: version, encoding and collation", Look: func(ctx context.Context, e *doctor.Exam) error {
			if err := checkDatabase(ctx, e.Conn); err != nil {
				e.Found("%v", err)
			}
			return nil
		}},
		doctor.Rows{
			Title: "Database: indexes",
			Find: `
				SELECT format('the index %s of %s is not valid', indexrelid::regclass, indrelid::regclass)
				FROM ` + invalidIndexes,
			// One that cannot be built because of the rows of the table is left.
			Repair: []string{`
				DO $$ DECLARE broken regclass; BEGIN
					FOR broken IN SELECT indexrelid FROM ` + invalidIndexes + ` LOOP
						BEGIN
							EXECUTE 'REINDEX INDEX ' || broken;
						EXCEPTION WHEN unique_violation THEN NULL;
						END;
					END LOOP;
				END $$`},
		}.Check(),
	}
}

const invalidIndexes = `
	pg_index i JOIN pg_class c ON c.oid = i.indexrelid
	WHERE c.relnamespace = current_schema()::regnamespace AND NOT (i.indisvalid AND i.indisready AND i.indislive)`
