// Package cluster runs the private PostgreSQL of a server that has been given no
// database.
//
// It promises that a cluster from [Start] listens on a Unix socket only, belongs to one
// server, never runs as root, stops with the server however that ends, is recovered
// after a crash of either, and is started again if it dies.
package cluster
