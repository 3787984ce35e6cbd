// Package envelope turns the rows of messages into Watermill messages and
// back. The keys of their metadata are spelled here and nowhere else.
package envelope

import (
	"context"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Keys of the metadata.
const (
	Task          = "millrace_task"    // "service/task"
	Run           = "millrace_run"     // id of the run
	Attempt       = "millrace_attempt" // number of this attempt, from 1
	ID            = "millrace_id"      // id of a message from outside, as its producer gave it
	ReplyTo       = "reply_to"         // topic that a reply goes to
	CorrelationID = "correlation_id"   // copied into the reply
)

type heldKey struct{}

// Held returns the row behind a message that the engine handed out, or nil
// for one that came from elsewhere.
func Held(msg *message.Message) *store.Message {
	m, _ := msg.Context().Value(heldKey{}).(*store.Message)
	return m
}

// Message makes the Watermill message of a held row. Its UUID is the row's id,
// or the one that its producer outside gave it: an idempotency key for the
// handler's own effects.
func Message(ctx context.Context, m *store.Message) *message.Message {
	uuid := m.ID
	if id := m.Meta[ID]; id != "" {
		uuid = id
	}
	msg := message.NewMessage(uuid, m.Payload)
	for k, v := range m.Meta {
		msg.Metadata[k] = v
	}
	if m.Task != "" {
		msg.Metadata[Task] = m.Task
		msg.Metadata[Attempt] = strconv.Itoa(m.Attempt + 1)
	}
	if m.RunID != "" {
		msg.Metadata[Run] = m.RunID
	}
	msg.SetContext(context.WithValue(ctx, heldKey{}, m))
	return msg
}

// Send turns a message that a plain Watermill handler produced, or published,
// into a send to a topic. One that names a task goes to that task.
func Send(topic string, msg *message.Message) step.Send {
	s := step.Send{Topic: topic, Task: msg.Metadata[Task], Payload: msg.Payload, Away: true}
	for k, v := range msg.Metadata {
		if k == Task || k == Run || k == Attempt {
			continue
		}
		if s.Meta == nil {
			s.Meta = make(map[string]string, len(msg.Metadata)+1)
		}
		s.Meta[k] = v
	}
	if msg.UUID != "" && s.Task == "" {
		if s.Meta == nil {
			s.Meta = make(map[string]string, 1)
		}
		s.Meta[ID] = msg.UUID
	}
	return s
}
