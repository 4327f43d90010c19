// Package clienttest is a small Matrix client for tests. It speaks to a server
// over real HTTP, and fails the test where something that must work doesn't.
//
//	anyone := clienttest.New(t, handler)
//	alice := anyone.Register("alice", "wordpass")
//	alice.Do("PUT", clienttest.Path("profile", alice.UserID, "displayname"),
//		map[string]any{"displayname": "Alice"}).OK()
//	room := alice.CreateRoom(map[string]any{"preset": "public_chat"})
//	since := alice.Sync("").NextBatch()
//	alice.SyncUntil(since, clienttest.Shows(room, alice.SendText(room, "hello")))
//	refused := anyone.Do("GET", "/account/whoami", nil)
//	refused.Refused(401, "M_MISSING_TOKEN")
//
// It knows nothing of the server's packages, and every test can use it.
package clienttest
