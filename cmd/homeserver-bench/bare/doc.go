// Package bare has the ceilings that are more than a statement: the least that a server
// can be that commits, wakes or answers.
//
// A [Loop] is a group commit that builds no event, authorises nothing, signs nothing and
// serves nobody; it only makes the same rows durable, as [Messages] those of messages. A
// [Chime] wakes requests that wait, and [ServeAnswer] answers with the same bytes.
package bare
