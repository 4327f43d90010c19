// Package ephemeral is the clock of what is not durable: typing and presence.
// It stands beside the journal's position in the tokens of /sync.
//
// Promise: whoever has read up to a tick has seen every state that was set up to
// it, or a newer one of the same thing. Each process has ticks of its own, and a new
// one after a restart; a token carries those of the processes that its client has
// asked lately. From one that it has not asked, the client gets what is kept there.
package ephemeral
