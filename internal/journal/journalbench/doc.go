// Package journalbench is the yardstick of benchmarks that write: the least
// that a group commit can be, on a PostgreSQL that really syncs to disk, and a
// fair way to race something against it in one run. Benchmarks report ratios,
// which mean the same on every machine; only tests import this package.
package journalbench
