// Package appservice has the application services that are registered: bridges and bots that
// the operator has named in the configuration (package registration reads their files), and
// that act as many users of their own. Application Service API.
//
// # Promises
//
//   - A request by a service needs no SQL to be recognized: its token is compared, as a hash,
//     in memory, and its users are remembered like access tokens (package session).
//   - A service acts as its sender and as the users in its namespaces, and as nobody else.
//   - The user of each service exists as soon as the server runs.
//   - What is sent to a service goes to its own address and nowhere else, ends in time, and
//     its answer is read up to a bound. It holds up the requests that need it, and no others.
//
// # Flow of data
//
//	request with an as_token → httpapi: ByToken, ActAs → endpoint, as the user
//	endpoint that needs a service → Caller → the service
package appservice
