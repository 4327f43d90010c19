// Package threepidtest runs, for the time of a test, the services that the server needs
// for e-mail addresses and phone numbers: a mail server, a gateway for text messages, and
// an identity server. They speak the real protocols on loopback.
package threepidtest
