// Package conformancepb is where the code for the conformance suite's messages
// goes, as an overlay of the build of sut: see conformance_test.go. It is never
// written here.
package conformancepb
