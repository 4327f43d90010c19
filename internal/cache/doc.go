// Package cache holds what services keep in memory beside the database: values that
// were read, for as long as they hold ([LRU], [Cache]), and whose turn it is to change
// something ([Turns]).
//
// Promises: whoever looks into a cache after a commit was announced finds nothing
// from before it; everything is bounded, caches in bytes.
package cache
