// Package bare is the least that a group commit can be: the ceiling for
// everything that writes. It builds no event, authorises nothing, signs nothing
// and serves nobody; it only makes the same rows durable.
package bare
