// Package search finds events by their words: client-server API, "Server Side
// Search".
//
// Promises:
//
//   - A user finds a message once its request is answered: a search first waits until
//     the index has reached the journal's position, for a few seconds at most.
//   - Sending does not wait for the index, which follows the journal in the
//     background.
//   - Only events that the user may read by timeline.NewAccess are found, in rooms that
//     the user is or was in, and none of encrypted rooms.
//   - Redacted text is found no more, nor stored.
//   - Case, accents and the forms of letters make no difference, and any language can
//     be searched. All words must be there, whole or as beginnings of longer ones;
//     text in double quotes must be there as it is. Whole words rank higher.
//
// Data flow:
//
//	journal ─▶ follower: index ─▶ search_index
//	Search: wait ─▶ timeline.Standings ─▶ search_index ─▶ events, their surroundings, state
package search
