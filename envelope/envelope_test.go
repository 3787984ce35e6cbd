package envelope_test

import (
	"context"
	"strings"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/millrace-go/millrace/envelope"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

func TestMessageOfAStep(t *testing.T) {
	row := &store.Message{
		ID: "m1", Task: "svc/task", RunID: "r1", Attempt: 2, Payload: []byte("p"),
		Meta: map[string]string{"lang": "de", envelope.ReplyTo: "answers"},
	}
	msg := envelope.Message(t.Context(), row)
	// M10: the row's id is the handler's idempotency key.
	require.Equal(t, "m1", msg.UUID)
	require.Equal(t, "p", string(msg.Payload))
	require.Equal(t, message.Metadata{
		"lang": "de", "reply_to": "answers",
		"millrace_task": "svc/task", "millrace_run": "r1", "millrace_attempt": "3",
	}, msg.Metadata)
	require.Same(t, row, envelope.Held(msg))
	require.NotContains(t, row.Meta, envelope.Task, "the row is not touched")
}

func TestHeldIsOfTheEngineOnly(t *testing.T) {
	require.Nil(t, envelope.Held(message.NewMessage("id", nil)))
	held := envelope.Message(t.Context(), &store.Message{ID: "m1"})
	require.Nil(t, envelope.Held(held.Copy()), "a copy is another message")
}

// M10, M7: a message from outside keeps its producer's id, and its bytes, on
// its way through the store.
func TestForeignMessageKeepsItsID(t *testing.T) {
	msg := message.NewMessage("theirs", []byte("p"))
	msg.Metadata.Set("x-death", "3")
	s := envelope.Send("orders", msg)
	require.Equal(t, step.Send{
		Topic: "orders", Payload: []byte("p"), Away: true,
		Meta: map[string]string{"x-death": "3", envelope.ID: "theirs"},
	}, s)
	got := envelope.Message(t.Context(), &store.Message{ID: "ours", Topic: s.Topic, Payload: s.Payload, Meta: s.Meta})
	require.Equal(t, "theirs", got.UUID)
	require.Equal(t, "3", got.Metadata["x-death"])
	require.NotContains(t, got.Metadata, envelope.Attempt)
}

// M7: a handler that writes into a payload changes the row's no more than a
// copy does.
func TestPayloadOfAPlainMessageIsACopy(t *testing.T) {
	row := &store.Message{ID: "m1", Topic: "orders", Payload: []byte("p")}
	envelope.Message(t.Context(), row).Payload[0] = '!'
	require.Equal(t, "p", string(row.Payload))
}

func TestMessageThatNamesATask(t *testing.T) {
	msg := message.NewMessage("id", nil)
	msg.Metadata = message.Metadata{
		envelope.Task: "svc/task", envelope.Run: "another run", envelope.Attempt: "7", "lang": "de",
	}
	s := envelope.Send("svc", msg)
	require.Equal(t, "svc/task", s.Task)
	require.Equal(t, map[string]string{"lang": "de"}, s.Meta, "its run and attempt are those of the store")
}

// M6
func TestTaskThatIsNone(t *testing.T) {
	for _, name := range []string{"task", "/", "svc/", "~/task", "svc/\x00", "svc/" + strings.Repeat("x", 1000), "\xff/x"} {
		msg := message.NewMessage("id", nil)
		msg.Metadata.Set(envelope.Task, name)
		s := envelope.Send("orders", msg)
		require.Empty(t, s.Task)
		require.Equal(t, name, s.Meta[envelope.Task], "it travels on as it is")
	}
}

// L4
func TestSourceID(t *testing.T) {
	of := func(uuid string) string { return envelope.SourceID(message.NewMessage(uuid, nil)) }
	require.Equal(t, "id", of("id"))
	require.NotEqual(t, of(""), of(""), "those without id are all different")
	for _, bad := range []string{"a\x00b", "\xff", strings.Repeat("x", 129)} {
		require.Equal(t, of(bad), of(bad))
		require.NotEqual(t, of(bad), of(bad+"!"))
		require.True(t, strings.HasPrefix(of(bad), "sha256:"))
	}
}

// FuzzForeign takes in whatever a producer may send: it always has a proper
// id, can be stored, and comes out as it went in.
//
// M6, M7
func FuzzForeign(f *testing.F) {
	f.Add("id", "key", "value", []byte("payload"))
	f.Add("", envelope.Task, "svc/task", []byte{0, 0xff})
	f.Add("\x00", envelope.Task, "no task", []byte(nil))
	f.Add("\xff", envelope.ID, "other", []byte("x"))
	f.Add(strings.Repeat("long", 100), "", "", []byte("'; DROP TABLE x"))
	limits := step.Limits{}.WithDefaults()
	f.Fuzz(func(t *testing.T, uuid, key, value string, payload []byte) {
		msg := message.NewMessage(uuid, payload)
		msg.Metadata.Set(key, value)
		s := envelope.Send("topic", msg)
		out := &step.Outcome{
			Verb: step.Insert, Sends: []step.Send{s},
			Source: &step.Source{Consumer: "c", ID: envelope.SourceID(msg)},
		}
		if err := limits.Check(out); err != nil {
			t.Fatal(err)
		}
		row := &store.Message{ID: "ours", Topic: s.Topic, Task: s.Task, Payload: s.Payload, Meta: s.Meta}
		stored := &store.Message{}
		if err := stored.UnmarshalBody(row.AppendBody(nil)); err != nil {
			t.Fatal(err)
		}
		got := envelope.Message(context.Background(), stored)
		if string(got.Payload) != string(payload) {
			t.Fatalf("payload %q became %q", payload, got.Payload)
		}
		if s.Task != "" {
			return
		}
		if key != envelope.ID && got.Metadata[key] != value {
			t.Fatalf("metadata %q: %q became %q", key, value, got.Metadata[key])
		}
		if uuid != "" && got.UUID != uuid {
			t.Fatalf("id %q became %q", uuid, got.UUID)
		}
	})
}
