// Package migrations holds the schema of the database as numbered goose files,
// embedded in the binary. They only go up: a database is never taken back to an
// older schema, and a binary refuses a database that is newer than itself.
package migrations

import "embed"

// FS holds the migration files, at its top.
//
//go:embed *.sql
var FS embed.FS
