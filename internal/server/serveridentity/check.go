package serveridentity

import (
	"context"

	"homeserver/internal/doctor"
)

// Checks returns the checks of the server's name and key, for the operator's doctor:
// that the database is the one of this configuration and this data folder.
func Checks(id Identity, look Look) []doctor.Check {
	return []doctor.Check{{
		Title: "Server: name and signing key",
		Look: func(ctx context.Context, e *doctor.Exam) error {
			if err := Verify(ctx, e.Conn, id, look); err != nil {
				e.Found("%v", err)
			}
			return nil
		},
	}}
}
