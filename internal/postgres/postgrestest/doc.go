// Package postgrestest runs a real PostgreSQL for tests: one private cluster for
// each test process, and in it a database of its own for each test, cloned from
// a migrated template.
//
// A test package that uses it has
//
//	func TestMain(m *testing.M) { postgrestest.Main(m) }
//
// The cluster is not durable. It starts with the first test that needs a
// database, as a copy of the one that [cluster.MigratedTemplate] keeps in the
// user's cache folder, and ends with the process. With HOMESERVER_TEST_DATABASE_URL set to
// the URL of a role that may create databases (postgres://…), that server is
// used in its place.
package postgrestest
