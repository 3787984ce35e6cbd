package faults

import (
	"slices"
	"testing"
	"time"
)

// toxics are the ways in which a network fails, without a word to anybody.
var toxics = []toxic{
	{"reset_peer", "upstream", `{"timeout": 0}`},               // connections are reset when something is asked
	{"reset_peer", "downstream", `{"timeout": 0}`},             // or answered
	{"timeout", "upstream", `{"timeout": 0}`},                  // what is asked vanishes
	{"timeout", "downstream", `{"timeout": 0}`},                // what is answered does: half of the link is there
	{"slow_close", "downstream", `{"delay": 1000}`},            // one side has closed, and the other does not know
	{"limit_data", "upstream", `{"bytes": 20000}`},             // connections break in the middle of a message
	{"limit_data", "downstream", `{"bytes": 20000}`},           // or of an answer
	{"latency", "downstream", `{"latency": 80, "jitter": 60}`}, // all is slow
}

// spell is how long a fault lasts.
const spell = 500 * time.Millisecond

// The network between the processes and the store, and the broker, is cut, slow,
// or closed by half: to both at once, and where there is time to each alone. While it is, work may pause; it goes on afterwards.
//
// M1, M2, M4, M9, M11, F1, F2, T1, R5, C1, C2
//
//semantics:stores postgres redis
func TestNetwork(t *testing.T) {
	t.Parallel()
	pl := shared(t)
	var loads []*load
	var stores, brokers []*link
	for _, p := range pairs {
		s := pl.site(t, p)
		toStore, toBroker := s.linked(t)
		if toStore == nil && toBroker == nil {
			continue
		}
		if toStore != nil {
			stores = append(stores, toStore)
		}
		if toBroker != nil {
			brokers = append(brokers, toBroker)
		}
		loads = append(loads, s.open(t, 2, nil).run().feed())
	}
	goOn := func(what string) {
		t.Helper()
		t.Log(what)
		for _, l := range loads {
			l.progress(1)
		}
	}
	goOn("before all")
	for i := range times(1, 9) {
		links := [][]*link{slices.Concat(stores, brokers), stores, brokers}[i%3]
		for _, x := range toxics {
			for _, l := range links {
				l.add(x)
			}
			<-time.After(spell)
			for _, l := range links {
				l.remove(x)
			}
			goOn(x.String())
		}
		for _, l := range links {
			l.cut()
		}
		<-time.After(spell)
		for _, l := range links {
			l.mend()
		}
		goOn("cut")
	}
	finishAll(loads)
}
