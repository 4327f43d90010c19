// Package devkit is what only `homeserver dev` has: a server that the tests of clients and bots start, ask and throw
// away. The server itself is the real one, and knows nothing of this package.
//
// It promises that nothing of it is reachable in a server that is not started by `homeserver dev`, and that what
// programs read, the [Document] above all, is whole whenever it is there.
//
// Package control, below, has the endpoints by which tests control the server, package seed what a server begins with.
package devkit
