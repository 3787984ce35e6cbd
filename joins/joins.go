// Package joins is the rule by which branches come together: when a join is
// complete, and what the joined task gets. It is pure: no I/O, no clock.
package joins

import "time"

// Mode says when a rule is fulfilled.
type Mode uint8

const (
	All  Mode = iota // every event of the rule was emitted
	Any              // one was
	Some             // Need of them were
	Fork             // every child of a fork has its outcome
)

// Rule is the condition of a join. The zero Rule is fulfilled at once.
type Rule struct {
	Mode      Mode     `cbor:"1,keyasint,omitempty"`
	Need      int      `cbor:"2,keyasint,omitempty"` // Some: how many events
	Events    []string `cbor:"3,keyasint,omitempty"` // distinct names, in the order in which they are handed over
	Total     int      `cbor:"4,keyasint,omitempty"` // Fork: how many children
	MaxFailed int      `cbor:"5,keyasint,omitempty"` // Fork: fire early once so many children failed; 0: wait for all
}

// Progress is what has arrived for a rule.
type Progress struct {
	Got    []Arrival `cbor:"1,keyasint,omitempty"` // at most one for each event of the rule
	Done   int       `cbor:"2,keyasint,omitempty"` // Fork: children that succeeded
	Failed int       `cbor:"3,keyasint,omitempty"` // Fork: children that failed
}

// Arrival is the first emit of an event.
type Arrival struct {
	Event  string `cbor:"1,keyasint,omitempty"`
	Micros int64  `cbor:"2,keyasint,omitempty"` // when, in microseconds since 1970 UTC
	Data   []byte `cbor:"3,keyasint,omitempty"`
	// Elided says that Data was left out, since all together would have
	// exceeded the limit; it is read from the event's own row.
	Elided bool `cbor:"4,keyasint,omitempty"`
}

// Time returns when the event was emitted.
func (a Arrival) Time() time.Time { return time.UnixMicro(a.Micros).UTC() }

// Wants reports whether event is one of the rule's that has not arrived.
func (r *Rule) Wants(p *Progress, event string) bool {
	for _, g := range p.Got {
		if g.Event == event {
			return false
		}
	}
	for _, e := range r.Events {
		if e == event {
			return true
		}
	}
	return false
}

// Take adds a to p if the rule wants it, and reports whether it did. A second
// arrival of an event changes nothing.
func (r *Rule) Take(p *Progress, a Arrival) bool {
	if !r.Wants(p, a.Event) {
		return false
	}
	p.Got = append(p.Got[:len(p.Got):len(p.Got)], a)
	return true
}

// Fulfilled reports whether the rule is.
func (r *Rule) Fulfilled(p *Progress) bool {
	switch r.Mode {
	case Any:
		return len(r.Events) == 0 || len(p.Got) > 0
	case Some:
		return len(p.Got) >= min(r.Need, len(r.Events))
	case Fork:
		return p.Done+p.Failed >= r.Total || (r.MaxFailed > 0 && p.Failed >= r.MaxFailed)
	default:
		return len(p.Got) == len(r.Events)
	}
}

// Result is what the message of a join carries besides its own data.
type Result struct {
	Data   []byte    `cbor:"1,keyasint,omitempty"` // the join's own
	Events []Arrival `cbor:"2,keyasint,omitempty"` // those that arrived, in the order of the rule
	Total  int       `cbor:"3,keyasint,omitempty"` // Fork: children
	Done   int       `cbor:"4,keyasint,omitempty"` // Fork: children that succeeded
	Failed int       `cbor:"5,keyasint,omitempty"` // Fork: children that failed
	Owner  string    `cbor:"6,keyasint,omitempty"` // whose rows hold what was elided, or a fork's results
	Late   bool      `cbor:"7,keyasint,omitempty"` // the deadline came first
}

// Conclude puts together what the message gets, with at most limit bytes of
// data; events beyond it are elided.
func (r *Rule) Conclude(p *Progress, data []byte, limit int) Result {
	res := Result{Data: data, Total: r.Total, Done: p.Done, Failed: p.Failed}
	room := limit - len(data)
	for _, name := range r.Events {
		for _, g := range p.Got {
			if g.Event != name {
				continue
			}
			if room -= len(g.Data); room < 0 {
				room += len(g.Data)
				g.Data, g.Elided = nil, true
			}
			res.Events = append(res.Events, g)
		}
	}
	return res
}
