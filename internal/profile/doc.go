// Package profile stores what users publish about themselves: display name, avatar,
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
//     change, also where several clients change it at once. The call is
//     posted in the change's transaction, so that a crash, or a hook that fails, delays
//     it and does not lose it. All hooks have run before the client is answered.
//
// # Flow of data
//
// Set and Delete lock the user's row, change it and post an entry to the journal's
// outbox in one transaction. The journal writes that into the log and calls the
// hooks, which bring the change into the rooms.
package profile
