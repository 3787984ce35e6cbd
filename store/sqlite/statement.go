package sqlite

import (
	"embed"
	"fmt"
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
	return add(name, strings.TrimSpace(string(text)))
}

// repeated makes of a statement with VALUES of one row one with n rows.
func repeated(q *statement, n int) *statement {
	from := strings.LastIndexByte(q.text, '(')
	to := from + strings.IndexByte(q.text[from:], ')') + 1
	row := q.text[from:to]
	text := q.text[:to] + strings.Repeat(", "+row, n-1) + q.text[to:]
	return add(fmt.Sprintf("%s x%d", q.name, n), text)
}

func add(name, text string) *statement {
	q := &statement{index: len(statements), name: name, text: text}
	statements = append(statements, q)
	return q
}

// Transactions.
var (
	sqlBegin        = sqlOf("begin")
	sqlCommit       = sqlOf("commit")
	sqlRollback     = sqlOf("rollback")
	sqlSavepoint    = sqlOf("savepoint")
	sqlRelease      = sqlOf("release")
	sqlRollbackTo   = sqlOf("rollback_to")
	sqlLock         = sqlOf("lock")
	sqlDatabaseList = sqlOf("database_list")
)

// The schema.
var (
	sqlHasMeta     = sqlOf("has_meta")
	sqlVersion     = sqlOf("version")
	sqlStoreName   = sqlOf("store_name")
	sqlSetVersion  = sqlOf("set_version")
	sqlJournalMode = sqlOf("journal_mode")
	sqlJournalWAL  = sqlOf("journal_wal")
)

// What a commit reads.
var (
	sqlDataVersion = sqlOf("data_version")
	sqlFence       = sqlOf("fence")
	sqlReserve     = sqlOf("reserve")
	sqlHolds       = sqlOf("holds")
	sqlMessages    = sqlOf("messages")
	sqlRuns        = sqlOf("runs")
	sqlRunByID     = sqlOf("run_by_id")
	sqlRow         = sqlOf("row")
	sqlRows        = sqlOf("rows")
	sqlRows16      = repeated(sqlRows, 16)
	sqlList        = sqlOf("list")
	sqlFree        = sqlOf("free")
	sqlNamed       = sqlOf("named")
)

// What a commit writes.
var (
	sqlInsertMessage    = sqlOf("insert_message")
	sqlInsert8Messages  = repeated(sqlInsertMessage, 8)
	sqlInsert32Messages = repeated(sqlInsertMessage, 32)
	sqlUpdateMessage    = sqlOf("update_message")
	sqlDeleteMessages   = sqlOf("delete_messages")
	sqlInsertRun        = sqlOf("insert_run")
	sqlUpdateRun        = sqlOf("update_run")
	sqlAdvanceRun       = sqlOf("advance_run")
	sqlPutRow           = sqlOf("put_row")
	sqlDeleteRow        = sqlOf("delete_row")
)

// Grabbing.
var (
	sqlReady     = sqlOf("ready")
	sqlRipe      = sqlOf("ripe")
	sqlRipen     = sqlOf("ripen")
	sqlNextDue   = sqlOf("next_due")
	sqlClaimable = sqlOf("claimable")
	sqlWeigh     = sqlOf("weigh")
	sqlHold      = sqlOf("hold")
	sqlStatuses  = sqlOf("statuses")
)

// Workers.
var (
	sqlInsertWorker = sqlOf("insert_worker")
	sqlBeat         = sqlOf("beat")
	sqlWorkers      = sqlOf("workers")
	sqlCloseWorkers = sqlOf("close_workers")
	sqlPiece        = sqlOf("piece")
	sqlFreeStrays   = sqlOf("free_strays")
)

// Purging.
var (
	sqlPurgeRows  = sqlOf("purge_rows")
	sqlPurgeRuns  = sqlOf("purge_runs")
	sqlNextKind   = sqlOf("next_kind")
	sqlPurgeOwned = sqlOf("purge_owned")
	sqlPurgeBelow = sqlOf("purge_below")
)

// Finding.
var (
	sqlFindMessages      = sqlOf("find_messages")
	sqlFindMessagesBySeq = sqlOf("find_messages_by_seq")
	sqlFindRun           = sqlOf("find_run")
	sqlFindRuns          = sqlOf("find_runs")
	sqlFindRunsNewest    = sqlOf("find_runs_newest")
	sqlFindRows          = sqlOf("find_rows")
	sqlFindRowsNewest    = sqlOf("find_rows_newest")
	sqlFindAllRows       = sqlOf("find_all_rows")
	sqlFindAllFirstRows  = sqlOf("find_all_first_rows")
)
