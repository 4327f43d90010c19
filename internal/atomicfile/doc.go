// Package atomicfile writes small files, keys and certificates above all, so that after a crash at
// any moment either the old content or the new one is there, whole.
package atomicfile
