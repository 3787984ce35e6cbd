package watermillsql

import (
	"embed"
	"strings"
)

//go:embed queries/*.sql
var files embed.FS

// text reads a statement, without the comment before it.
func text(name string) string {
	b, err := files.ReadFile("queries/" + name + ".sql")
	if err != nil {
		panic(err) // it is linked into the program
	}
	if name == "schema" {
		return string(b)
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "--") {
			out.WriteString(line)
		}
	}
	return out.String()
}

var (
	sqlSchema = text("schema")
	sqlLock   = text("lock")
	sqlReady  = text("ready")
	sqlKeep   = text("keep")
	sqlBack   = text("back")
	sqlLeave  = text("leave")
	sqlSweep  = text("sweep")
	sqlSleep  = text("sleep")
	sqlAwake  = text("awake")
	sqlExist  = text("exist")
)

// Statements about the tables of a topic.
var (
	sqlClaim       = text("claim")
	sqlDone        = text("done")
	sqlCount       = text("count")
	sqlCountUnread = text("count_unread")
)

// of puts the names of a topic's tables into a statement.
func of(t topic, statement string) string {
	return strings.NewReplacer("{{messages}}", t.messages, "{{offsets}}", t.offsets).Replace(statement)
}
