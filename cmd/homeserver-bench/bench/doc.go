// Package bench measures the server: the real one, in a process of its own, with
// its real listener, on a durable PostgreSQL in a temporary folder. The
// program homeserver-bench runs it.
//
// No figure stands alone. Beside each is its ceiling: what the least does that can
// be done at all, measured in the same run, by turns where both are rates. Ratios
// mean the same on every machine; bare milliseconds don't.
//
// Processor time is that of each process, as the operating system counts it. What
// the server does in the background, after its answers, is waited for and counted
// as well.
//
// A family of cases has a file of its own. Clients live in this process and speak
// HTTP over loopback by as little code as there can be, because they take their
// part of the same processors.
package bench
