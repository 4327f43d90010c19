// Package registration reads the files by which operators register application services, and
// makes new ones. Application Service API, "Registration".
//
// # Promises
//
//   - A file is taken as a whole or not at all: each mistake is reported, with file and line.
//     Keys that are not known are ignored, since bridges write keys of their own.
//   - No two services have the same ID, the same as_token or the same exclusive namespace, and
//     none has its sender in the exclusive namespace of another.
//   - Regular expressions run in a time that grows with the text only (RE2). They match from the
//     beginning of a text; what follows the match does not matter, unless the expression ends
//     with $. Those that need look-aheads or back-references are refused.
//   - Tokens are in no error, and printing a [Token] prints asterisks.
package registration
