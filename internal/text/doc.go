// Package text makes texts comparable for people who search: upper and lower
// case, accents, and the width and form of letters make no difference.
//
// Promises:
//
//   - Folding is a pure function, idempotent, and the same for all languages.
//   - Words of a text are runs of letters, digits and marks. In scripts without
//     spaces between words, and in Korean, each character is a word of its own.
package text
