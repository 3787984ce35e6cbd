package watermillsql

import (
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/millrace-go/millrace/store"
)

// idKey is the metadata key of an id that the column of ids can't hold.
const idKey = "millrace_uuid"

// maxID is how many characters the column of ids holds.
const maxID = 36

// outgoing makes a message that can be inserted.
func outgoing(p store.Publication) *message.Message {
	msg := message.NewMessage(p.UUID, p.Payload)
	maps.Copy(msg.Metadata, p.Metadata)
	if utf8.RuneCountInString(p.UUID) > maxID || !utf8.ValidString(p.UUID) || strings.ContainsRune(p.UUID, 0) {
		sum := sha256.Sum256([]byte(p.UUID))
		msg.UUID = hex.EncodeToString(sum[:maxID/2])
		msg.Metadata[idKey] = base64.RawURLEncoding.EncodeToString([]byte(p.UUID))
	}
	if msg.Payload == nil {
		msg.Payload = []byte{} // not NULL
	}
	return msg
}

// key names a row of a table of messages.
type key struct {
	transaction string
	offset      int64
}

// row is a message as it is stored.
type row struct {
	key
	uuid              string
	payload, metadata []byte
}

func scan(rows *sql.Rows) (r row, err error) {
	err = rows.Scan(&r.transaction, &r.offset, &r.uuid, &r.payload, &r.metadata)
	return r, err
}

// incoming makes a message of a row of anybody's making. One without an id
// gets one of its place, which is the same when it comes again.
func incoming(t topic, r row) *message.Message {
	msg := message.NewMessage(r.uuid, append([]byte(nil), r.payload...))
	msg.Metadata = metadataOf(r.metadata)
	if long, ok := msg.Metadata[idKey]; ok {
		if id, err := base64.RawURLEncoding.DecodeString(long); err == nil {
			msg.UUID = string(id)
			delete(msg.Metadata, idKey)
		}
	}
	if msg.UUID == "" {
		msg.UUID = t.name + "/" + r.transaction + "/" + strconv.FormatInt(r.offset, 10)
	}
	return msg
}

// metadataOf reads any JSON: values that are no text are kept as their JSON,
// and what is no object under the key "metadata".
func metadataOf(b []byte) message.Metadata {
	m := message.Metadata{}
	if len(b) == 0 || string(b) == "null" {
		return m
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		m["metadata"] = string(b)
		return m
	}
	for k, raw := range all {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			s = string(raw)
		}
		m[k] = s
	}
	return m
}

// inserts makes the statements of watermill-sql that insert messages of one
// topic: of few sizes, so that the server sees few texts.
func inserts(t topic, batch []store.Publication) ([]store.Statement, error) {
	msgs := make(message.Messages, len(batch))
	for i, p := range batch {
		msgs[i] = outgoing(p)
	}
	var out []store.Statement
	for size := mostRows; len(msgs) > 0; {
		if len(msgs) < size {
			size /= 4
			continue
		}
		q, err := schema.InsertQuery(t.name, msgs[:size])
		if err != nil {
			return nil, fmt.Errorf("messages for %s: %w", t.name, err)
		}
		out = append(out, store.Statement{Text: q.Query, Args: q.Args})
		msgs = msgs[size:]
	}
	return out, nil
}

// mostRows is how many messages a statement inserts at most; a power of 4.
// PostgreSQL takes 65,535 parameters, and a message is three.
const mostRows = 4096
