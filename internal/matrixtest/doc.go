// Package matrixtest is what tests share that speak Matrix: a small client, which speaks
// to a server over real HTTP and fails the test where something that must work doesn't;
// checks of errors; and waiting for what happens elsewhere.
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
// Of the server it knows the identifiers and errors alone, so that every test can use it.
package matrixtest
