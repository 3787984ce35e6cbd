// Package envelope turns the rows of messages into Watermill messages and
// back. The keys of their metadata are spelled here and nowhere else.
package envelope

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill"
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
	Store         = "millrace_store"   // name of the store that the message is a row of
	Seq           = "millrace_seq"     // number of that row
	Joined        = "millrace_joined"  // the payload is what a join hands over
	Key           = "millrace_key"     // exclusive key
	Priority      = "millrace_priority"
	Parked        = "millrace_parked" // why a message was put aside
	ReplyTo       = "reply_to"        // topic that a reply goes to
	CorrelationID = "correlation_id"  // copied into the reply
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
	payload := m.Payload
	if m.Task == "" { // a plain handler may write into it, and the row is needed again
		payload = bytes.Clone(payload)
	}
	msg := message.NewMessage(uuid, payload)
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
// into a send to a topic. One that names a task goes to that task. The payload
// is shared with msg.
func Send(topic string, msg *message.Message) step.Send {
	s := step.Send{Topic: topic, Task: task(msg), Payload: msg.Payload, Away: true}
	s.Meta = make(map[string]string, len(msg.Metadata)+1)
	for k, v := range msg.Metadata {
		if s.Task == "" || k != Task && k != Run && k != Attempt {
			s.Meta[k] = v
		}
	}
	if msg.UUID != "" && s.Task == "" {
		s.Meta[ID] = msg.UUID
	}
	return s
}

// task returns the task that msg names. What is no task's name is metadata
// like any other: it came from outside, and stops nobody.
func task(msg *message.Message) string {
	name := msg.Metadata[Task]
	if name == "" || (step.Limits{}).WithDefaults().CheckTask(name) != nil {
		return ""
	}
	return name
}

// maxID is how many bytes of a foreign id are used as they are.
const maxID = 128

// SourceID returns the id by which a message from outside is told from others
// of its producer: its UUID. One that is no proper name is hashed; a message
// without any is told from all others by a new one.
func SourceID(msg *message.Message) string {
	id := msg.UUID
	switch {
	case id == "":
		return watermill.NewUUID()
	case len(id) > maxID || !utf8.ValidString(id) || strings.ContainsRune(id, 0):
		sum := sha256.Sum256([]byte(id))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	return id
}
