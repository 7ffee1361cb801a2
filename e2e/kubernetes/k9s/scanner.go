// Package vul of k9s without the program that looks for vulnerabilities in images, which k9s has off by default and which
// would take longer to compile than all the rest of it. `build` puts this in the place of k9s's own scanner.go and scan.go.
package vul

import (
	"context"
	"log/slog"

	"github.com/derailed/k9s/internal/config"
)

// ImgScanner is there only where scanning is on.
var ImgScanner *imageScanner

type imageScanner struct{}

// Scan is what was found in one image.
type Scan struct{ Table *table }

// NewImageScanner makes one that scans nothing.
func NewImageScanner(config.ImageScans, *slog.Logger) *imageScanner { return &imageScanner{} }

func (*imageScanner) ShouldExcludes(string, map[string]string) bool { return true }
func (*imageScanner) GetScan(string) (*Scan, bool)                  { return nil, false }
func (*imageScanner) Init(string, string)                           {}
func (*imageScanner) Stop()                                         {}
func (*imageScanner) Score(...string) string                        { return "" }
func (*imageScanner) IsInitialized() bool                           { return false }
func (*imageScanner) Enqueue(context.Context, ...string)            {}

func colorize(rr []string) []string { return rr }
