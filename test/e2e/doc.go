// Package e2e holds the end-to-end tests: the conformance server as a process
// of its own, and real peers that talk to it.
//
//   - TestNode: @microsoft/signalr under Node, both protocols
//   - TestBrowser: the same scenarios in headless Chromium
//   - TestDotnet: Microsoft.AspNetCore.SignalR.Client, its observations compared
//     with those it made at the real server
//   - TestJava: com.microsoft.signalr, WebSockets and long polling (java/)
//   - TestPython: signalrcore and pysignalr (python/)
//   - TestReplay: recordings of the real server, byte for byte
//
// The scenarios of the first two are in js/. Peers that are not on the machine
// are skipped with a line that says which.
//
// Environment:
//
//	HUBWIRE_E2E_SERVER  another server to test: a command with {port} in it
//	HUBWIRE_E2E_ONLY    a regular expression on scenario names
//	HUBWIRE_PEERS_DIR   where the .NET peers are; default ../shared/peers beside the repository
//	CHROMIUM            the browser's binary; default: chromium, chromium-browser or google-chrome of the PATH
package e2e
