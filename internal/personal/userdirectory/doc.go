// Package userdirectory finds people by name or user ID: client-server API, "User
// Directory".
//
// Promises:
//
//   - Only people whom the searching user may know of are found: those who are joined
//     to a room together with that user, or to one that anybody may join or read. A
//     user in no room, such as a deactivated one, is found by nobody.
//   - A user finds a change once its request is answered: a search first waits until
//     the directory has reached the journal's position, for a few seconds at most.
//   - Case, accents and the forms of letters make no difference, nor do apostrophes and
//     dots in a word: obrien finds O'Brien.
//   - Any part of a word is enough, in any script, and is found by an index of pairs of
//     characters; a search does not look at all people.
//   - The best matches come first: whole name or ID, then its beginning, the beginning of a
//     word of it, and any other part.
//
// Data flow:
//
//	journal ─▶ follower: member events ─▶ profile.Many ─▶ user_directory
//	Search: wait ─▶ user_directory ─▶ timeline.Visible ─▶ profile.Many
package userdirectory
