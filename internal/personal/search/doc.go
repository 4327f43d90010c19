// Package search finds events by their words: client-server API, "Server Side
// Search".
//
// Promises:
//
//   - A user finds a message once its request is answered: a search first waits until
//     the index has reached the journal's position, for a few seconds at most.
//   - Sending does not wait for the index, which follows the journal in the
//     background: once a second where much is sent, and at once for a search that waits.
//   - Only events that the user may read by timeline.NewAccess are found, in rooms that
//     the user is or was in, and none of encrypted rooms.
//   - Redacted text is found no more, nor stored.
//   - Case, accents and the forms of letters make no difference, and any language can
//     be searched. All words must be there, whole or as beginnings of longer ones;
//     text in double quotes must be there as it is. Whole words rank higher.
//   - In scripts without spaces between words, such as those of Chinese, Japanese and Thai,
//     and in Korean any part of a text is found. The index has each two characters that
//     follow on each other, and the last one of a run, so that a search for several
//     characters is one for a phrase, and for a single one the beginning of a lexeme.
//   - An edit is found by its new text, as the event that it is. The message that was edited
//     is found by what it said at first, which clients can still see.
//   - A search of some rooms is also one of those that they have replaced.
//   - One search considers the newest 10,000 matches, and takes PostgreSQL 5 seconds at most.
//
// Data flow:
//
//	journal ─▶ follower: index ─▶ search_index
//	rewriting: rows of an older version of the server ─▶ search_index
//	Search: wait ─▶ timeline.Standings ─▶ search_index ─▶ events, their surroundings, state
package search
