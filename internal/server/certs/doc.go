// Package certs has the certificates of the TLS listeners.
//
// One comes from one of three places: from two files that others keep up to date; from an ACME
// authority such as Let's Encrypt; or, with no configuration, from a certificate authority of the
// server's own, in the folder tls of the data folder, so that
//
//	curl --cacert data/tls/ca.pem https://localhost:8448/_matrix/client/versions
//
// verifies.
//
// Its promises:
//
//   - Certificates are replaced while the server runs: files when they change, the others before they
//     expire. A replacement that cannot be used is logged, and the old one stays in use.
//   - The local authority and its certificate outlive restarts, so that users need to
//     trust them only once.
//   - The local authority can vouch for the names of this server only.
//   - Private keys are readable by the server's user alone, and files are replaced whole.
//   - Nothing older than TLS 1.2 is spoken.
package certs
