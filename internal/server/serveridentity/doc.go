// Package serveridentity stores whose the database is: the server's name and its signing
// key, from the first start on.
//
// Promises:
//
//   - A database with data of users is used under no other name, and with no other key,
//     than before. Otherwise users would lose their names to strangers, and other
//     servers would not accept this one's signatures.
//   - As long as there are neither accounts nor events, both may change: nobody depends
//     on them. Several processes that start at once agree all the same, or are refused.
//   - A key is replaced by [Adopt] alone, which an operator asks for. The
//     public part of former keys is stored: their signatures can be verified for ever.
//
// Data flows from the configuration and the data folder, as an [Identity], to the tables
// server_identity and former_signing_keys.
package serveridentity
