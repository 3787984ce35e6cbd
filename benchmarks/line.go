package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// line is what is told about a workload on a pair. Times are in milliseconds:
// of a run from its start to its end; for hop, of a step; for jobs, of a call
// that inserts.
type line struct {
	Workload   string  `json:"workload"`
	Store      string  `json:"store"`
	Transport  string  `json:"transport"`
	N          int     `json:"n"`
	RunsPerS   float64 `json:"runs_per_s"` // for jobs: jobs
	StepsPerS  float64 `json:"steps_per_s"`
	P50        float64 `json:"p50_ms"`
	P95        float64 `json:"p95_ms"`
	P99        float64 `json:"p99_ms"`
	Limit      float64 `json:"limit_per_s"`
	Ratio      float64 `json:"ratio"`                 // of StepsPerS to Limit
	Plain      float64 `json:"plain_per_s,omitempty"` // steps of a plain Router over the same broker
	PlainRatio float64 `json:"plain_ratio,omitempty"` // of StepsPerS to Plain
	Duplicates int     `json:"duplicates"`
	Losses     int     `json:"losses"`
	Error      string  `json:"error,omitempty"` // why there is nothing else

	Processors    int     `json:"processors"` // that Go used
	Seconds       float64 `json:"seconds"`
	CPUPerStep    float64 `json:"cpu_us_per_step"`          // of all cores, user and system; of this process
	AllocsPerStep float64 `json:"allocs_per_step"`          // on Go's heap
	BytesPerStep  float64 `json:"bytes_per_step"`           // allocated on Go's heap
	InsertPerS    float64 `json:"insert_per_s,omitempty"`   // jobs: the first phase alone
	WorkPerS      float64 `json:"work_per_s,omitempty"`     // jobs: the second phase alone
	HeapMB        float64 `json:"heap_mb,omitempty"`        // parked: what was added; bigfork: the peak
	RSSMB         float64 `json:"rss_mb,omitempty"`         // parked: what was added to the process's memory
	BytesPerRun   float64 `json:"bytes_per_run,omitempty"`  // parked: in the store
	MemoryPerRun  float64 `json:"memory_per_run,omitempty"` // parked: bytes in the process
	AlonePerS     float64 `json:"alone_per_s,omitempty"`    // later, idle: steps per second undisturbed; two: of one process
	Slowdown      float64 `json:"slowdown,omitempty"`       // later, idle: part of AlonePerS that was lost
	PendingPerS   float64 `json:"pending_per_s,omitempty"`  // later: insertion of what is pending
	Gain          float64 `json:"gain,omitempty"`           // two: StepsPerS to AlonePerS
	Kills         int     `json:"kills,omitempty"`          // two, -kill: processes that were killed
	Restarts      int     `json:"restarts,omitempty"`       // -kill: of the broker
	Again         int     `json:"again,omitempty"`          // two, -kill: entries of steps that a kill had undone
	Stall         float64 `json:"stall_ms,omitempty"`       // two, -kill: of the run that took longest
	Lease         float64 `json:"lease_ms,omitempty"`       // two, -kill: of a process

	Timeline []slice  `json:"timeline,omitempty"`
	Repeats  []repeat `json:"repeats,omitempty"`
}

// repeat is one of the measurements that a line is the median of.
type repeat struct {
	StepsPerS  float64 `json:"steps_per_s"`
	Ratio      float64 `json:"ratio,omitempty"`
	PlainRatio float64 `json:"plain_ratio,omitempty"`
	Slowdown   float64 `json:"slowdown,omitempty"`
	Gain       float64 `json:"gain,omitempty"`
}

func (l line) repeat() repeat {
	return repeat{l.StepsPerS, l.Ratio, l.PlainRatio, l.Slowdown, l.Gain}
}

// pair names where l was measured.
func (l line) pair() pair { return pair{l.Store, l.Transport} }

// Extras are the figures that only some workloads have.
func (l line) Extras() string {
	out := ""
	for _, e := range []struct {
		name  string
		value float64
	}{
		{"insert/s", l.InsertPerS}, {"work/s", l.WorkPerS}, {"heap MB", l.HeapMB}, {"RSS MB", l.RSSMB},
		{"B/run in store", l.BytesPerRun}, {"B/run in memory", l.MemoryPerRun},
		{"alone steps/s", l.AlonePerS}, {"slowdown", l.Slowdown}, {"pending inserted/s", l.PendingPerS},
		{"gain", l.Gain}, {"kills", float64(l.Kills)}, {"broker restarts", float64(l.Restarts)},
		{"entered again", float64(l.Again)}, {"longest run ms", l.Stall}, {"lease ms", l.Lease},
	} {
		if e.value != 0 {
			out += fmt.Sprintf("%s %s  ", e.name, figure(e.value))
		}
	}
	return out
}

// printer tells lines.
type printer interface{ line(l line) }

func (o options) printer(out io.Writer) printer {
	if o.json {
		return jsonLines{json.NewEncoder(out)}
	}
	return newTable(out)
}

// jsonLines prints an object in a line each.
type jsonLines struct{ enc *json.Encoder }

func (p jsonLines) line(l line) { _ = p.enc.Encode(l) }

// table prints columns for readers, each line as soon as it is known.
type table struct{ w *tabwriter.Writer }

func newTable(out io.Writer) table {
	t := table{tabwriter.NewWriter(out, 11, 0, 1, ' ', tabwriter.AlignRight)}
	fmt.Fprintf(t.w, "workload\tstore\ttransport\tn\truns/s\tsteps/s\tp50 ms\tp95 ms\tp99 ms\tlimit/s\tratio\tplain\tdup\tlost\tCPU us/step\tallocs/step\t\n")
	_ = t.w.Flush()
	return t
}

func (t table) line(l line) {
	fmt.Fprintf(t.w, "%s\t%s\t%s\t%d\t", l.Workload, l.Store, l.Transport, l.N)
	if l.Error != "" {
		fmt.Fprintf(t.w, "  %s\n", l.Error)
	} else {
		fmt.Fprintf(t.w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t  %s\n",
			figure(l.RunsPerS), figure(l.StepsPerS), figure(l.P50), figure(l.P95), figure(l.P99), figure(l.Limit),
			figure(l.Ratio), figure(l.PlainRatio), l.Duplicates, l.Losses, figure(l.CPUPerStep), figure(l.AllocsPerStep), l.Extras())
	}
	_ = t.w.Flush()
}

// figure writes a number with about three digits that matter.
func figure(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
