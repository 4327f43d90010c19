// Package devicekeys keeps the public keys of end-to-end encryption: those of devices,
// one-time and fallback keys, and cross-signing keys with their signatures. Client-server
// API, "End-to-End Encryption", sections "Key Distribution" and "Cross-signing".
//
// # Promises
//
//   - What is handed on to others was checked before it was stored: whose it is, that its
//     keys are keys, and that its signatures verify. A request that fails in any of that
//     stores nothing.
//   - A one-time key is given out once, in the order of upload, whatever processes there
//     are and whenever one dies: it is marked in the transaction that reads it, which is
//     committed before the answer. A key that was given out is not taken in again from a
//     client that repeats its upload, and none comes back by a restore from a backup.
//   - Users see the signatures that section "Key and signature security" lists: those of
//     the owner of a key, and their own.
//   - How many one-time keys a device has left is known in memory, so that /sync reads
//     nothing; a claim in any process wakes the device's /sync.
//   - The keys that everybody is shown of a user are read once, and are in memory until a
//     change of the user's device list is shown, whichever process made it. What only the
//     viewer sees is read each time.
//   - The keys of a device go with the device, in the same commit.
//   - A user has one dehydrated device at most, which is a device without tokens, and which
//     others see only with its keys: MSC3814.
//   - Users who share a room with another learn of each change of that one's device list,
//     by /sync and GET /keys/changes: a change is an entry of the journal that concerns the
//     rooms which its user is in where it stands in the log, so that no join slips in
//     between. It is posted in the transaction that changes the keys. A device without keys
//     changes no list.
//
// # Data flow
//
//	Upload, UploadSigningKeys, UploadSignatures ─▶ checks ─▶ one transaction: tables, and
//	    the change that others learn of by their device lists (postChange)
//	postChange ─▶ outbox ─▶ journal (addRooms) ─▶ table device_lists ─▶ /sync, keys/changes
//	Claim ─▶ one statement ─▶ answer
//	Query ─▶ memory, else the tables ─▶ answer, which reads in parts while it is written, where it is long
//	Counts ◀─ /sync
//
// # Bounds
//
// Of a device 200 one-time keys are kept, beyond which the oldest go, and the IDs of 200
// that were claimed; each key has a bound in bytes. All of that goes with the device, of
// which a user has 1,000. Of a user's list it is kept where it has changed last, also after
// the end of the account: others may not have heard of it. An entry of the journal has a
// topic for each room that its user shares with others, which counts as written bytes of the
// user. Lists names very many users in parts, within the memory that the request reserves.
package devicekeys
