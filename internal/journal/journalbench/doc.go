// Package journalbench is a fair way to race something that writes against a
// yardstick in one run, on a PostgreSQL that really syncs to disk. Benchmarks report
// ratios, which mean the same on every machine; only tests import this package.
package journalbench
