package step

import (
	"strings"
	"time"

	"github.com/millrace-go/millrace/store"
)

// A message that is due travels through the broker: it is born published, that
// is free, and due again after a while. Whoever gets its envelope claims it. If
// nobody has by then, the envelope was lost or nobody was there; then the
// message is grabbed like any other that is due, and run, or published again.

// longestAgain is the most that passes until a message is published again.
const longestAgain = store.Instant(time.Hour / time.Microsecond)

// isLocal reports whether the worker's own handlers come before the broker.
func (v *view) isLocal() bool { return v.env.Broker == nil || v.env.Broker.Local }

// toBroker marks a message for the broker, if that is to have it: one to a task
// that was not tried yet, while its topic's window has room.
func (v *view) toBroker(m *store.Message) bool {
	b := v.env.Broker
	if b == nil || v.here || m.Kind != store.Task || m.Task == "" || m.Home != "" || m.Tries > 0 || !v.takeWindow(m.Topic) {
		return false
	}
	m.Published = 1
	m.Due = v.now() + b.Again
	m.Lent = !b.Served[m.Topic]
	v.res.Published = append(v.res.Published, m)
	v.noteTopic(m)
	return true
}

// isLent reports whether a service on another store may have begun a message,
// which it got by its envelope. What is born in this very fold nobody has yet.
func (v *view) isLent(m *store.Message) bool { return m.Lent && !v.isNew(m.Seq) }

// isBegun reports whether somebody may have begun a message.
func (v *view) isBegun(m *store.Message) bool { return m.Worker != 0 || v.isLent(m) }

func (v *view) takeWindow(topic string) bool {
	left, named := v.give[topic]
	if !named {
		left = v.env.Broker.Others
	}
	if left <= 0 {
		return false
	}
	if v.give == nil {
		v.give = map[string]int{}
	}
	v.give[topic] = left - 1
	return true
}

// publishAgain frees a message that goes to the broker once more. Each time it
// waits twice as long.
func (v *view) publishAgain(m *store.Message) {
	if v.env.Broker == nil {
		v.release(m)
		return
	}
	m.Worker = 0
	m.Published++
	m.Due = v.now() + min(v.env.Broker.Again<<min(m.Published-1, 20), longestAgain)
	m.Lent = !v.env.Broker.Served[m.Topic]
	v.putMessage(m)
	v.res.Published = append(v.res.Published, m)
}

// noteTopic writes down a topic that is not known to all processes of the
// store: those with a broker look there for what they are to publish again.
// Topics that begin with store.Internal are for this store's workers only.
func (v *view) noteTopic(m *store.Message) {
	b := v.env.Broker
	if b == nil || strings.HasPrefix(m.Topic, store.Internal) || b.Known[m.Topic] {
		return
	}
	key := store.RowKey{Kind: store.Topic, Name: m.Topic}
	if _, noted := v.rows[key]; noted {
		return
	}
	v.put(key.Kind, key.Owner, key.Name, &struct{}{})
	v.res.Topics = append(v.res.Topics, m.Topic)
}
