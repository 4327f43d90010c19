// Package doctor runs checks of a server's data and says what is wrong, in plain
// lines. What a table must hold is known to the package that owns it: that is where
// the checks are; here is how they are run.
//
// Promises:
//
//   - Memory is bounded, however much there is to look at or wrong with it: checks go
//     through rows in order, and of many findings the first ones are told, and the
//     number.
//   - Without repairs nothing is written. A server may run meanwhile: each statement
//     sees the database as of one moment.
//   - A repair brings back in line what follows from something else: counts, ends of
//     intervals, indexes. No message is ever removed or changed.
//   - What a repair claims has been looked at again.
package doctor
