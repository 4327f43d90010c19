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
//     change, also where several clients change it at once. That it is to be told is
//     committed with the change, so that a crash, or a hook that fails, puts it off and
//     does not lose it. When a client is answered, all is told.
//
// # Flow of data
//
// Set and Delete lock the user's row, change it and note the change in one
// transaction. Then, outside of it, whoever has claimed the change calls the hooks,
// which bring it into the rooms, and forgets it. A claim is a lease in the database:
// what is not kept, because the process has died, is taken over by another.
package profile
