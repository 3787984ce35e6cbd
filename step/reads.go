package step

import "github.com/millrace-go/millrace/store"

// Reads names what folding the outcomes needs, as far as it can be told
// beforehand. Worker and lane are those of the fold's [Env].
func Reads(outcomes []*Outcome, worker, lane int64) store.Keys {
	k := reads{store.Keys{Worker: worker, Rows: []store.RowKey{counterKey(worker, lane)}}}
	for _, o := range outcomes {
		if o.Message != nil {
			k.ofMessage(o, o.Message)
		}
		switch {
		case o.Start != nil:
			k.RunIDs = append(k.RunIDs, o.Start.RunID)
		case o.Source != nil:
			k.Rows = append(k.Rows, inboxKey(o.Source))
		case o.Dead != nil:
			k.Rows = append(k.Rows, deadKey(o.Dead.Seq))
		case o.Abort != nil:
			k.RunIDs = append(k.RunIDs, o.Abort.RunID)
		}
	}
	return k.Keys
}

// reads collects keys.
type reads struct{ store.Keys }

func (k *reads) row(kind store.RowKind, owner, name string) {
	k.Rows = append(k.Rows, store.RowKey{Kind: kind, Owner: owner, Name: name})
}

func (k *reads) ofMessage(o *Outcome, m *store.Message) {
	k.Holds = append(k.Holds, m.Seq)
	if m.Run != 0 {
		k.Runs = append(k.Runs, m.Run)
	}
	if m.Kind != store.Task {
		k.ofInternal(m)
		return
	}
	if m.Run != 0 && m.Join != "" {
		k.row(store.Join, Owner(m.Run, ""), joinOf(m.Join))
	}
	if m.Key != "" && o.Verb != Yield {
		k.row(store.Lock, lockOwner(m.Key), "")
	}
	switch o.Verb {
	case Retry:
		k.Messages = append(k.Messages, m.Seq)
	case Admit:
		k.row(store.Lock, lockOwner(o.Key), "")
		if o.Saga != "" {
			k.RunIDs = append(k.RunIDs, o.Key)
		}
	}
	if m.Undo > 1 && o.Verb == Done {
		k.row(store.Undo, Owner(m.Run, ""), store.Num(int64(m.Undo-1)))
	}
	if m.Run != 0 {
		for _, d := range o.Decisions {
			k.ofDecision(m.Run, d)
		}
	}
}

func (k *reads) ofInternal(m *store.Message) {
	owner := Owner(m.Run, m.Scope)
	switch m.Kind {
	case store.Release:
		k.Messages = append(k.Messages, m.Seq)
		k.row(store.Chunk, m.Scope, store.Num(m.Number))
	case store.Tick:
		k.row(store.Join, owner, m.Join)
	case store.Sweep:
		k.ofSweep(m.Run)
	case store.Emit:
		k.row(store.Scope, owner, "")
		k.row(store.Event, owner, m.Task)
	case store.Enlist, store.Expire:
		k.row(store.Scope, owner, "")
	case store.Delist:
		k.row(store.Join, owner, m.Join)
	}
}

func (k *reads) ofSweep(run int64) {
	k.Lists = append(k.Lists, store.List{Kind: store.Join, Owner: Owner(run, ""), Limit: sweepPiece})
	k.Free = append(k.Free, store.Free{Run: run, Limit: sweepPiece})
}

func (k *reads) ofDecision(run int64, d Decision) {
	switch d := d.(type) {
	case Send:
		k.ofName(run, d.Name)
	case *Fork:
		for i := range d.Sends {
			k.ofName(run, d.Sends[i].Name)
		}
	case Emit:
		if d.Scope == "" {
			k.row(store.Event, Owner(run, ""), d.Event)
		}
	case Join:
		k.ofName(run, d.Name)
		if d.Scope == "" {
			for _, e := range d.Rule.Events {
				k.row(store.Event, Owner(run, ""), e)
			}
		}
	case Cancel:
		k.ofName(run, d.Name)
	case Move:
		k.ofName(run, d.Name)
	case Fail: // a Finish has seldom anything to sweep
		k.ofSweep(run)
	}
}

// ofName is for what may be a timer's name or a join's.
func (k *reads) ofName(run int64, name string) {
	if name == "" {
		return
	}
	k.Named = append(k.Named, store.Named{Run: run, Name: name})
	k.row(store.Join, Owner(run, ""), name)
}
