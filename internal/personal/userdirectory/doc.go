// Package userdirectory finds people by name or user ID: client-server API, "User
// Directory".
//
// Promises:
//
//   - Only people whom the asker may know of are found: those who are joined to a
//     room together with the asker, or to one that anybody may join or read. Who is
//     in no room, such as somebody who is deactivated, is found by nobody.
//   - Whoever was answered finds what was written: a search first waits until the
//     directory has come to where the journal stood, for a few seconds at most.
//   - Case, accents and the forms of letters make no difference, nor do apostrophes and
//     dots in a word: obrien finds O'Brien.
//   - The best come first: whole name or ID, then its beginning, the beginning of a
//     word of it, and any other part.
//
// Data flow:
//
//	journal ─▶ follower: member events ─▶ profile.Many ─▶ user_directory
//	Search: wait ─▶ user_directory ─▶ timeline.Visible ─▶ profile.Many
package userdirectory
