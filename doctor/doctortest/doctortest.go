// Package doctortest holds the conservation check that tests end with.
package doctortest

import (
	"context"
	"testing"

	"github.com/millrace-go/millrace/doctor"
	"github.com/millrace-go/millrace/store"
)

// Check fails the test for each fault that is in a store which nobody uses
// any more. Dead letters, stalled runs and strays are none.
func Check(t testing.TB, s store.Store) {
	t.Helper()
	report, err := doctor.Examine(context.Background(), s, doctor.Options{Looks: 1})
	if err != nil {
		t.Errorf("examine store: %v", err)
	}
	for _, f := range report.Faults() {
		t.Errorf("fault in store: %s", f)
	}
}
