package main

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

const megabyte = 1 << 20

// memory is what the process occupies, in bytes.
type memory struct {
	heap     float64 // live objects on Go's heap
	resident float64 // all of the process; 0 where the system does not tell
}

// occupied collects garbage, gives back what is free, and looks.
func occupied() memory {
	runtime.GC()
	debug.FreeOSMemory()
	return memory{heap: heapNow(), resident: residentNow()}
}

func (m memory) since(before memory) memory {
	return memory{m.heap - before.heap, m.resident - before.resident}
}

func heapNow() float64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return float64(s[0].Value.Uint64())
}

func residentNow() float64 {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if kb, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			n, _ := strconv.ParseFloat(strings.Fields(kb)[0], 64)
			return n * 1024
		}
	}
	return 0
}

// peakOf runs fn and returns the most that Go's heap held meanwhile, garbage
// included.
func peakOf(fn func() error) (float64, error) {
	done := make(chan struct{})
	peak := make(chan float64)
	go func() {
		t := time.NewTicker(10 * time.Millisecond)
		defer t.Stop()
		most := heapNow()
		for {
			select {
			case <-t.C:
				most = max(most, heapNow())
			case <-done:
				peak <- max(most, heapNow())
				return
			}
		}
	}()
	err := fn()
	close(done)
	return <-peak, err
}
