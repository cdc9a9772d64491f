// Package journal keeps what was sent for those who come back: logs bounded by
// count, bytes and age, with positions of (epoch, offset), so that a reader that
// resumes is told the truth: all since its position, or that something is lost.
//
// [Log] is one log in memory, [Store] what keeps logs outside of the process.
package journal
