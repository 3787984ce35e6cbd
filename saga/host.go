package saga

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Host runs handlers and keeps runs: a *router.Router.
type Host interface {
	// Bind binds a handler to a task; mistakes are reported when the host
	// is started.
	Bind(task string, b Binding)
	// Commit stores an outcome that is about no message of the caller's.
	Commit(ctx context.Context, out *step.Outcome) (step.Verdict, error)
	// CommitTx is Commit inside the caller's own transaction.
	CommitTx(ctx context.Context, tx *sql.Tx, out *step.Outcome) (step.Verdict, error)
	// Ended blocks until a run is closed.
	Ended(ctx context.Context, key int64) (*store.Run, error)
	// Find lists rows.
	Find(ctx context.Context, q store.Query) (store.Found, error)
	// Codec encodes what handlers give and get.
	Codec() Codec
}

// Codec encodes payloads, events, states and results.
type Codec interface {
	// Marshal encodes v.
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes data into the pointer v.
	Unmarshal(data []byte, v any) error
}

// JSON is the default codec. Values of type json.RawMessage and []byte of
// JSON pass through as encoding/json has it.
type JSON struct{}

// Marshal implements Codec.
func (JSON) Marshal(v any) ([]byte, error) { return json.Marshal(v) }

// Unmarshal implements Codec.
func (JSON) Unmarshal(data []byte, v any) error { return json.Unmarshal(data, v) }

// Binding is a handler as the host sees it.
type Binding struct {
	// Run executes the handler for a unit of work, and leaves in the unit
	// what it decided.
	Run func(ctx context.Context, u *step.Unit) error
	// Keying says what the message must have before the handler is
	// entered. Nil: nothing.
	Keying  func(m *store.Message) (step.Keying, error)
	Policy  step.Policy   // zero: step.DefaultPolicy
	Timeout time.Duration // of the handler; 0: the host's
	NeedTx  bool          // the handler needs a store with SQL
}
