// Package ui holds the page that the gateway serves under /ui/: plain files
// that load nothing from anywhere else.
package ui

import (
	"embed"
	"io/fs"
)

//go:embed index.html page.js page.css
var files embed.FS

// Files gives the page: index.html and what it names.
func Files() fs.FS { return files }
