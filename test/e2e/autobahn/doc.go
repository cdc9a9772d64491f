// Package autobahn holds the WebSocket codec to account with foreign clients:
// gorilla/websocket, coder/websocket and Debian's python3-autobahn run the cases
// of package internal/wsconn/cases, and what they do by themselves, against an
// echo server (internal/wsconn/wsecho) that is a process of its own.
//
// python3-autobahn is looked for with $PYTHON, /usr/bin/python3 and the python3
// of the PATH; its test is skipped where none has it.
package autobahn
