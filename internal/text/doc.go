// Package text makes texts comparable for people who search: upper and lower
// case, accents, and the width and form of letters make no difference.
//
// Promises:
//
//   - Folding is a pure function, idempotent, and the same for all languages.
//   - Words of a text are what stands between what is neither letter, digit nor
//     mark. In scripts that do not part words, each character is a word of its own.
package text
