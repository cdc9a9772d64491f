// Package web holds the pages of the hubwire command: plain modules, a style
// sheet and a document, as the browser gets them. There is no build step.
//
// The modules are tested by node --test (which needs no package), and their
// types are checked by TypeScript: tsc -p web.
package web

import "embed"

// Files is every file of the pages.
//
//go:embed *.html *.css *.js *.svg
var Files embed.FS
