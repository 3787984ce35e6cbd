package postgres

import (
	"embed"
	"strings"
)

//go:embed queries/*.sql
var queries embed.FS

// statement is one SQL statement of the folder queries, by the file's name.
type statement struct {
	index int // position in statements
	name  string
	text  string
}

var statements []*statement

// sqlOf loads queries/name.sql.
func sqlOf(name string) *statement {
	text, err := queries.ReadFile("queries/" + name + ".sql")
	if err != nil {
		panic(err) // the file is missing from the program
	}
	q := &statement{index: len(statements), name: name, text: bare(string(text))}
	statements = append(statements, q)
	return q
}

// bare drops the comment that a file begins with: it need not travel.
func bare(text string) string {
	for strings.HasPrefix(text, "--") {
		_, text, _ = strings.Cut(text, "\n")
	}
	return strings.TrimSpace(text)
}

// Transactions.
var (
	sqlBegin      = sqlOf("begin")
	sqlCommit     = sqlOf("commit")
	sqlRollback   = sqlOf("rollback")
	sqlSavepoint  = sqlOf("savepoint")
	sqlRelease    = sqlOf("release")
	sqlRollbackTo = sqlOf("rollback_to")
	sqlBackend    = sqlOf("backend")
	sqlEndBackend = sqlOf("end_backend")
	sqlSettle     = sqlOf("settle")
)

// The schema.
var (
	sqlSchemaLock = sqlOf("schema_lock")
	sqlSchemaName = sqlOf("schema_name")
	sqlHasMeta    = sqlOf("has_meta")
	sqlVersion    = sqlOf("version")
	sqlSetVersion = sqlOf("set_version")
	sqlStoreName  = sqlOf("store_name")
)

// Commits.
var (
	sqlLoad           = sqlOf("load")
	sqlReserve        = sqlOf("reserve")
	sqlWrite          = sqlOf("write")
	sqlParameterTypes = sqlOf("parameter_types")
)

// Grabbing and waking.
var (
	sqlGrab     = sqlOf("grab")
	sqlSleep    = sqlOf("sleep")
	sqlAwake    = sqlOf("awake")
	sqlWake     = sqlOf("wake")
	sqlWakeInTx = sqlOf("wake_in_tx")
)

// Workers.
var (
	sqlInsertWorker = sqlOf("insert_worker")
	sqlBeat         = sqlOf("beat")
	sqlReap         = sqlOf("reap")
	sqlPurge        = sqlOf("purge")
)

// Finding.
var (
	sqlNow               = sqlOf("now")
	sqlWorkers           = sqlOf("workers")
	sqlFindMessages      = sqlOf("find_messages")
	sqlFindMessagesBySeq = sqlOf("find_messages_by_seq")
	sqlFindRun           = sqlOf("find_run")
	sqlFindRunByID       = sqlOf("find_run_by_id")
	sqlFindRuns          = sqlOf("find_runs")
	sqlFindRunsNewest    = sqlOf("find_runs_newest")
	sqlFindRow           = sqlOf("find_row")
	sqlFindRows          = sqlOf("find_rows")
	sqlFindFirstRows     = sqlOf("find_first_rows")
	sqlFindRowsNewest    = sqlOf("find_rows_newest")
	sqlFindLastRows      = sqlOf("find_last_rows")
	sqlFindAllRows       = sqlOf("find_all_rows")
	sqlFindAllFirstRows  = sqlOf("find_all_first_rows")
)
