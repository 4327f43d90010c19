// Package testserver runs a real Matrix homeserver for tests of bots and clients that are written in Go, and makes it fail as
// they ask.
//
//	func TestBotAnswers(t *testing.T) {
//		server := testserver.Start(t, testserver.User("alice", "wordpass"), testserver.User("bot", "wordpass"))
//		server.Fail(testserver.Fault{Route: "/rooms/{roomId}/send/{eventType}/{txnId}", Times: 1, Effect: testserver.RateLimit(time.Second)})
//		// … let the bot run against server.BaseURL with server.User("bot").AccessToken …
//		sent := server.WaitForRequests(testserver.Filter{Method: "PUT", UserID: server.User("bot").UserID}, 2)
//	}
//
// It starts `homeserver dev` ([documentation]), which is the server itself on temporary data, and has no imports beside the
// standard library: it may be vendored, or copied as a folder.
//
// # Promises
//
//   - [Start] returns when the server answers. The server ends with the test, also if the test program is killed.
//   - Each server is one of its own: tests that start one may run in parallel.
//   - Where the program homeserver or PostgreSQL is missing, the test is skipped with a text that says what to install; if the
//     environment variable CI is set, as on build servers, it fails.
//   - A method that cannot do what it is asked for ends the test with the reason. Nothing has to be checked.
//
// The program is the one of [Program], else the one that the environment variable HOMESERVER_BIN names, else homeserver in PATH.
// In the source tree of the server itself it is built.
//
// [documentation]: ../docs/testing-clients.md
package testserver
