// Package blobtest runs an S3 service for tests: a real one over HTTP, in this process,
// with a bucket in memory. It checks the key that requests are signed with, and the hash
// of uploads, since tests rely on these.
package blobtest
