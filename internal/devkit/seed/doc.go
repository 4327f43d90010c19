// Package seed fills a development server with users, rooms and messages before it answers: from a YAML file, or made up.
//
// # Promises
//
//   - A file is taken as a whole or not at all: each mistake is reported with file and line, and what is allowed there.
//   - Everything goes through the services of the server, as if its users had done it: events are authorised and signed,
//     and a client cannot tell a seeded room from another. Only the times are those of the seed.
//   - The events of a room are in the order of the file.
//   - The generator makes the same data for the same seed: names, texts, sizes, relations and how long ago.
//
// # Flow of data
//
//	Read, or Random ─▶ Seed ─▶ Load: users ─▶ rooms, many at once ─▶ of each room the events, in groups that are one
//	commit each ─▶ receipts, tags and account data ─▶ Loaded: who there is, with tokens
package seed
