// Package server puts the parts together: it opens the database, makes the services, listens, and
// takes everything down again in the right order. It has no rules of its own.
//
// It is a package, and not a part of the command line, so that tests can run a whole server inside
// their process.
//
// [Start] brings up, one after the other: the data folder and the signing key · PostgreSQL, unless
// database.url names one · the pool, with migrations · the services · the journal · the listeners.
// [Server.Shutdown] goes the way back: no new connections · waiting polls are answered · requests finish ·
// the journal writes what is queued · the pool closes · PostgreSQL stops. A start that fails half-way
// takes down what it had brought up.
package server
