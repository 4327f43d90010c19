// Package serveridentity keeps whose the database is: the server's name and its signing
// key, from the first start on.
//
// Promises:
//
//   - A database that users have left anything in is used under no other name, and with
//     no other key, than those that it was used with before. Else users would lose their
//     names to strangers, and other servers would not believe what this one signs.
//   - As long as there are neither accounts nor events, both may change: nobody can miss
//     them. Several processes that start at once agree all the same, or are refused.
//   - A key is replaced by [Adopt] alone, which an operator asks for. Of the former keys
//     the public part is kept: what they have signed can be verified for ever.
//
// Data flows from the configuration and the data folder, as an [Identity], to the tables
// server_identity and former_signing_keys.
package serveridentity
