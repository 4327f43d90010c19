// Package matrixtest has helpers for all tests of Matrix: a small client, which speaks to a
// server over real HTTP and fails the test where something that must work does not; checks
// of errors; and functions that wait.
//
//	anyone := matrixtest.New(t, handler)
//	alice := anyone.Register("alice", "wordpass")
//	alice.Do("PUT", matrixtest.Path("profile", alice.UserID, "displayname"),
//		map[string]any{"displayname": "Alice"}).OK()
//	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
//	since := alice.Sync("").NextBatch()
//	alice.SyncUntil(since, matrixtest.Shows(room, alice.SendText(room, "hello")))
//	refused := anyone.Do("GET", "/account/whoami", nil)
//	refused.Refused(401, "M_MISSING_TOKEN")
//
// It imports only the identifiers and errors of the server, so that every test can use it.
package matrixtest
