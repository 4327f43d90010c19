// Package cache has the memory of services beside the database: values that were read,
// for as long as they are valid ([LRU], [Cache]), and turns for changes ([Turns]).
//
// Promises: a reader of a cache finds nothing from before a commit that was announced;
// everything is bounded, caches in bytes.
package cache
