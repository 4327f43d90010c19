// Package ephemeral is the clock of what is not durable: typing and presence.
// It stands beside the journal's position in the tokens of /sync.
//
// Promise: whoever has read up to a tick has seen every state that was set up to
// it, or a newer one of the same thing. After a restart, and in another process,
// the ticks are others: a token from there means "send what is current".
package ephemeral
