// Package accountdata stores data of users for themselves, for their whole account
// or for a room: client-server API, "Client Config", "Room Tagging", and the list
// of ignored users.
//
// Promises:
//
//   - Each change is an entry of the journal for its user alone, so that /sync
//     brings it to all devices.
//   - Tags of one room that are changed at once are all kept.
//   - The data of each user is bounded. Lists of ignored users are kept in memory.
//
// Data flow: Set ─▶ journal ─▶ table account_data; /sync reads it by Read beyond
// the live window.
package accountdata
