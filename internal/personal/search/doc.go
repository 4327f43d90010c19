// Package search finds events by their words: client-server API, "Server Side
// Search".
//
// Promises:
//
//   - Whoever was answered finds what was written: a search first waits until the
//     index has come to where the journal stood, for a few seconds at most.
//   - Sending waits for nothing here: the index follows the journal in the
//     background.
//   - Only what timeline.NewAccess lets the asker read is found, in rooms that the asker
//     is or was in, and nothing of encrypted rooms.
//   - What was redacted is found no more, nor kept.
//   - Case, accents and the forms of letters make no difference, and any language can
//     be searched. All words must be there, whole or as beginnings of longer ones;
//     what stands in double quotes must be there as it is. Whole words rank higher.
//
// Data flow:
//
//	journal ─▶ follower: index ─▶ search_index
//	Search: wait ─▶ timeline.Standings ─▶ search_index ─▶ events, their surroundings, state
package search
