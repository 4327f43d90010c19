// Package profile keeps what users tell about themselves: display name, avatar,
// and the free fields. Client-server API, section "Profiles".
//
// # Promises
//
//   - Everybody may read a profile; only its owner changes it.
//   - A whole profile, as JSON, stays below 64 KiB, as the specification demands.
//   - A user of this server who has set nothing has an empty profile; a user who
//     doesn't exist has none.
//   - After each change of display name or avatar the hooks set with OnChange see
//     the profile as it is stored, and the last of them to run sees the last
//     change, also where several clients change it at once.
//
// # Flow of data
//
// Set and Delete lock the user's row, change it in one transaction, and then,
// outside of it, call the hooks, which bring the change into the rooms.
package profile
