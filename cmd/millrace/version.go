package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/millrace-go/millrace/store"
)

type version struct{}

type program struct {
	Version  string   `json:"version"`
	Commit   string   `json:"commit,omitempty"`
	Go       string   `json:"go"`
	Platform string   `json:"platform"`
	Stores   []string `json:"stores"`
}

// Run prints the version of this program.
func (*version) Run(s *session) error {
	p := program{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Stores: store.Schemes()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if info.Main.Version != "" {
			p.Version = info.Main.Version
		}
		for _, set := range info.Settings {
			if set.Key == "vcs.revision" {
				p.Commit = set.Value
			}
		}
	}
	if s.flags.JSON {
		return s.document(p)
	}
	fmt.Fprintf(s.out, "millrace %s %s %s\n", p.Version, p.Go, p.Platform)
	return nil
}
