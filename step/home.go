package step

import (
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// A run lives in the store that started it. A step of it that is carried out
// by a service on another store commits there: its message ends, and its
// outcome goes home as a message. Home asks again until it has the outcome, by
// publishing again; who was asked answers again with what the inbox remembers.
// A message that was sent out so may have been begun there: should its run end
// meanwhile, it counts as in flight, and what undos it registers count.

// Homeward is an outcome on its way to the store that its message belongs to.
type Homeward struct {
	Seq       int64      // of the message, there
	ID        string     // of the message
	Failure   *Failure   // nil: the step succeeded
	Decisions []Decision // of a step that succeeded
}

// HomeTopic returns the topic on which a store is sent outcomes.
func HomeTopic(name string) string { return "millrace.home." + name }

// lodge makes m a message of another store's.
func lodge(m *store.Message, h *Home) {
	if h == nil {
		return
	}
	m.Home, m.HomeSeq, m.ID, m.RunID, m.Joined = h.Store, h.Seq, h.ID, h.RunID, h.Joined
}

// HomeSource tells the message of another store from all others.
func HomeSource(h *Home) *Source {
	return &Source{Consumer: "home:" + h.Store, ID: store.Num(h.Seq), Home: h}
}

// away ends a message of another store's, and sends the outcome home: also
// a failure for good, since a dead letter belongs to its run.
func (v *view) away(m *store.Message, o *Outcome) {
	out := &Homeward{Decisions: o.Decisions}
	if o.Verb == Reject {
		out.Decisions = nil
		out.Failure = &Failure{Text: fmt.Sprintf("attempt %d, on %s: %s", m.Attempt+1, v.env.Host, o.Failure.text())}
		if o.Failure != nil {
			out.Failure.Stack = clip(o.Failure.Stack, maxStack)
		}
	}
	v.goHome(m, out)
	v.end(m)
	v.dropChunks(m, nil)
	v.unlock(m)
}

// goHome sends the outcome of another store's message there, and remembers it.
func (v *view) goHome(m *store.Message, out *Homeward) {
	if m.Home == "" {
		return
	}
	v.answer(HomeSource(&Home{Store: m.Home, Seq: m.HomeSeq, ID: m.ID}), out)
}

// answer sends an outcome to the store that has asked for it, and remembers it.
func (v *view) answer(src *Source, out *Homeward) {
	out.Seq, out.ID = src.Home.Seq, src.Home.ID
	body, err := out.Marshal()
	if err != nil {
		panic(errInvalid{fmt.Errorf("outcome for the run's own store: %w", err)})
	}
	v.remember(src, &InboxRow{Outcome: body})
	v.sendHome(src.Home.Store, src.Home.ID, body)
}

// answerAgain sends an outcome home once more, since home asks again. As long
// as it asks, what it asks for is remembered.
func (v *view) answerAgain(src *Source, row *InboxRow) {
	if src.Home == nil {
		return
	}
	v.remember(src, row)
	if row.Outcome != nil {
		v.sendHome(src.Home.Store, src.Home.ID, row.Outcome)
	}
}

// remember keeps what became of another store's message, at least until that
// store can have asked again.
func (v *view) remember(src *Source, row *InboxRow) {
	key := inboxKey(src)
	v.putUntil(key.Kind, key.Owner, key.Name, row, v.now()+max(v.env.Retention, 2*longestAgain))
}

// refusal is the outcome of another store's message that can't be taken in.
func (v *view) refusal(f *Failure) *Homeward {
	return &Homeward{Failure: &Failure{Text: fmt.Sprintf("on %s: %s", v.env.Host, f.text())}}
}

func (v *view) sendHome(name, id string, body []byte) {
	send := Send{Topic: HomeTopic(name), Payload: body, Away: true}
	v.send(nil, join(prefix(v.now()), "home", fmt.Sprint(name, "/", id), int(v.next)), &send)
}
