// Package faults has the faults that a test asks for: which requests each meets, and what
// happens to those.
//
//	filter.Request ─ Rules.Take ─→ the first Rule that meets it, or none ─ Fault.Serve ─→ the answer
//
// # Promises
//
//   - A request meets one fault at most: the oldest of those that pick it.
//   - A fault without After stops a request before it has had any effect. With After the
//     request is served, and only its answer is spoilt.
//   - At most [MaxRules] are kept. Those that are used up make room first.
package faults
