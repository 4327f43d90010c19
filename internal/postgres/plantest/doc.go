// Package plantest looks at how PostgreSQL runs the statements of a service, for tests that they
// read what they need and no more, whatever PostgreSQL believes about its tables.
//
// A [Recorder] learns the statements by having the service's own methods run. A [Session] holds
// their plans as a connection of the server does, and returns what they did.
package plantest
