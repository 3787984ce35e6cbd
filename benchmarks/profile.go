package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// profiles are files that are written when the measuring is over.
type profiles struct{ cpu, mem *os.File }

// startProfiles begins to profile; an empty name is no profile.
func startProfiles(cpu, mem string) (p profiles, err error) {
	if mem != "" {
		runtime.MemProfileRate = 4096
		if p.mem, err = os.Create(mem); err != nil {
			return p, fmt.Errorf("profile: %w", err)
		}
	}
	if cpu != "" {
		if p.cpu, err = os.Create(cpu); err != nil {
			return p, fmt.Errorf("profile: %w", err)
		}
		err = pprof.StartCPUProfile(p.cpu)
	}
	return p, err
}

func (p profiles) stop() error {
	var errs []error
	if p.cpu != nil {
		pprof.StopCPUProfile()
		errs = append(errs, p.cpu.Close())
	}
	if p.mem != nil {
		errs = append(errs, pprof.Lookup("allocs").WriteTo(p.mem, 0), p.mem.Close())
	}
	return errors.Join(errs...)
}
