package watermillsql

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v3/pkg/sql"
)

// topic is where the messages of a topic are. Names are quoted identifiers.
type topic struct {
	name              string
	messages, offsets string
	ddl               string
}

// Names of tables are those of watermill-sql for a topic of at most so many
// bytes: with its longest prefix it is as long as PostgreSQL allows.
const maxTopic = 63 - len(offsetsPrefix)

const (
	messagesPrefix = "watermill_"
	offsetsPrefix  = "watermill_offsets_"
)

// plain are the characters that watermill-sql allows.
var plain = regexp.MustCompile(`^[A-Za-z0-9\-$:._]+$`)

var odd = regexp.MustCompile(`[^A-Za-z0-9\-$:._]+`)

// tail returns what the names of a topic's tables end with. Where
// watermill-sql would cut the name off, refuse it, or take another topic's
// table of offsets for one of messages, a hash makes it the topic's own.
func tail(name string) string {
	if len(name) <= maxTopic && plain.MatchString(name) && !strings.HasPrefix(name, "offsets_") {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	begin := odd.ReplaceAllString(name, "_")
	begin = strings.TrimPrefix(begin, "offsets_")
	return begin[:min(len(begin), maxTopic-2*hashed-1)] + "_" + hex.EncodeToString(sum[:hashed])
}

// hashed is how many bytes of the hash a name has.
const hashed = 10

func topicOf(name string) topic {
	t := topic{name: name, messages: schema.MessagesTable(name), offsets: `"` + offsetsPrefix + tail(name) + `"`}
	for _, q := range schema.SchemaInitializingQueries(name) {
		t.ddl += q.Query
	}
	return t
}

// schema is that of watermill-sql, with safe names and opaque payloads.
var schema = wsql.DefaultPostgreSQLSchema{
	GenerateMessagesTableName: func(name string) string { return `"` + messagesPrefix + tail(name) + `"` },
	GeneratePayloadType:       func(string) string { return "BYTEA" },
}
