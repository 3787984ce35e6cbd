package envelope

import (
	"encoding/json"
	"maps"
	"strconv"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// ours are the keys that say what a message is to its store.
var ours = []string{Task, Run, Attempt, Store, Seq, Joined, Key, Priority}

// Whole is the envelope of a message to a task that anyone can carry out, on
// whatever store: it has all that there is to know.
// An exclusive key holds among the messages of the store that takes it in.
func Whole(storeName string, m *store.Message) store.Publication {
	p := store.Publication{Topic: m.Topic, UUID: m.ID, Payload: m.Payload, Metadata: make(map[string]string, len(m.Meta)+7)}
	maps.Copy(p.Metadata, m.Meta)
	for _, key := range ours {
		delete(p.Metadata, key)
	}
	p.Metadata[Task] = m.Task
	p.Metadata[Store] = storeName
	p.Metadata[Seq] = strconv.FormatInt(m.Seq, 10)
	if m.RunID != "" {
		p.Metadata[Run] = m.RunID
	}
	if m.Joined {
		p.Metadata[Joined] = "true"
	}
	if m.Key != "" {
		p.Metadata[Key] = m.Key
	}
	if m.Priority != 0 {
		p.Metadata[Priority] = strconv.Itoa(int(m.Priority))
	}
	return p
}

// Slip is one envelope for several messages of a topic, for those who work on
// the same store: its body is a JSON array of their numbers there.
func Slip(storeName string, ms []*store.Message) store.Publication {
	body := append(make([]byte, 0, 2+12*len(ms)), '[')
	for i, m := range ms {
		if i > 0 {
			body = append(body, ',')
		}
		body = strconv.AppendInt(body, m.Seq, 10)
	}
	return store.Publication{
		Topic: ms[0].Topic, UUID: ms[0].ID, Payload: append(body, ']'), Metadata: map[string]string{Store: storeName},
	}
}

// Plain is a message to a topic that is no task's, as its sender made it.
func Plain(m *store.Message) store.Publication {
	p := store.Publication{Topic: m.Topic, UUID: m.ID, Payload: m.Payload, Metadata: maps.Clone(m.Meta)}
	if id := m.Meta[ID]; id != "" {
		p.UUID = id
	}
	return p
}

// Claims returns which messages of a store an envelope stands for; none if
// it is of another store, or no envelope.
func Claims(storeName string, msg *message.Message) []int64 {
	if storeName == "" || msg.Metadata[Store] != storeName {
		return nil
	}
	if seq, err := strconv.ParseInt(msg.Metadata[Seq], 10, 64); err == nil {
		return []int64{seq}
	}
	var seqs []int64
	if json.Unmarshal(msg.Payload, &seqs) != nil {
		return nil
	}
	return seqs
}

// IsEnvelope reports whether msg stands for messages of a store.
func IsEnvelope(msg *message.Message) bool { return msg.Metadata[Store] != "" }

// FromHome reads the envelope of another store's message. ok is false for
// what is none, or can be carried out on its own store only.
func FromHome(topic string, msg *message.Message) (home *step.Home, send step.Send, ok bool) {
	seq, err := strconv.ParseInt(msg.Metadata[Seq], 10, 64)
	name := task(msg)
	if err != nil || name == "" || msg.Metadata[Store] == "" {
		return nil, send, false
	}
	home = &step.Home{
		Store: msg.Metadata[Store], Seq: seq, ID: msg.UUID, RunID: msg.Metadata[Run], Joined: msg.Metadata[Joined] == "true",
	}
	priority, _ := strconv.ParseInt(msg.Metadata[Priority], 10, 16) // 0 if there is none
	send = step.Send{
		Topic: topic, Task: name, Payload: msg.Payload, Meta: maps.Clone(msg.Metadata),
		Key: msg.Metadata[Key], Priority: int16(priority),
	}
	for _, key := range ours {
		delete(send.Meta, key)
	}
	return home, send, true
}
