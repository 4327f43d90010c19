// Package blobtest gives tests an S3 service: a real one over HTTP, in this process,
// with a bucket in memory. It checks what a service checks that tests rely on: the key
// that requests are signed with, and the hash of what is uploaded.
package blobtest
