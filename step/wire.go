package step

import (
	"fmt"

	"github.com/millrace-go/millrace/store"
)

// homewardBody is the form in which a [Homeward] travels.
type homewardBody struct {
	Seq       int64          `cbor:"1,keyasint"`
	ID        string         `cbor:"2,keyasint"`
	Failure   *Failure       `cbor:"3,keyasint,omitempty"`
	Decisions []decisionBody `cbor:"4,keyasint,omitempty"`
}

// decisionBody is one decision: the field that is set. An unknown one, of a
// newer program, sets none.
type decisionBody struct {
	Send     *Send     `cbor:"1,keyasint,omitempty"`
	Fork     *Fork     `cbor:"2,keyasint,omitempty"`
	Emit     *Emit     `cbor:"3,keyasint,omitempty"`
	Join     *joinBody `cbor:"4,keyasint,omitempty"`
	Undo     *Undo     `cbor:"5,keyasint,omitempty"`
	SetState *SetState `cbor:"6,keyasint,omitempty"`
	Record   *Record   `cbor:"7,keyasint,omitempty"`
	Cancel   *Cancel   `cbor:"8,keyasint,omitempty"`
	Move     *Move     `cbor:"9,keyasint,omitempty"`
	Reply    *Reply    `cbor:"10,keyasint,omitempty"`
	Return   *Return   `cbor:"11,keyasint,omitempty"`
	Finish   *Finish   `cbor:"12,keyasint,omitempty"`
	Fail     *Fail     `cbor:"13,keyasint,omitempty"`
}

// joinBody is a join, and where the fork that it waits for stands among the
// decisions, counted from 1.
type joinBody struct {
	Join Join `cbor:"1,keyasint"`
	Fork int  `cbor:"2,keyasint,omitempty"`
}

// Marshal encodes h. A fork that was staged can't travel: its chunks are rows
// of the store that staged it.
func (h *Homeward) Marshal() ([]byte, error) {
	body := homewardBody{Seq: h.Seq, ID: h.ID, Failure: h.Failure, Decisions: make([]decisionBody, len(h.Decisions))}
	forks := map[*Fork]int{}
	for i, d := range h.Decisions {
		if f, ok := d.(*Fork); ok {
			forks[f] = i + 1
			if f.Chunks > 0 {
				return nil, fmt.Errorf("a fork of %d children is too large for a step of another store's run", f.Total())
			}
		}
	}
	for i, d := range h.Decisions {
		body.Decisions[i] = bodyOf(d, forks)
	}
	return store.Marshal(&body)
}

func bodyOf(d Decision, forks map[*Fork]int) (b decisionBody) {
	switch d := d.(type) {
	case Send:
		b.Send = &d
	case *Fork:
		b.Fork = d
	case Emit:
		b.Emit = &d
	case Join:
		b.Join = &joinBody{Join: d, Fork: forks[d.Fork]}
		b.Join.Join.Fork = nil
	case Undo:
		b.Undo = &d
	case SetState:
		b.SetState = &d
	case Record:
		b.Record = &d
	case Cancel:
		b.Cancel = &d
	case Move:
		b.Move = &d
	case Reply:
		b.Reply = &d
	case Return:
		b.Return = &d
	case Finish:
		b.Finish = &d
	case Fail:
		b.Fail = &d
	}
	return b
}

// Unmarshal decodes what Marshal made. What does not decode, or was made by a
// newer program and says more than this one understands, is store.ErrCorrupt.
func (h *Homeward) Unmarshal(b []byte) error {
	var body homewardBody
	if err := store.Unmarshal(b, &body); err != nil {
		return err
	}
	*h = Homeward{Seq: body.Seq, ID: body.ID, Failure: body.Failure, Decisions: make([]Decision, len(body.Decisions))}
	for i := range body.Decisions {
		d, err := body.Decisions[i].decision(body.Decisions)
		if err != nil {
			return err
		}
		h.Decisions[i] = d
	}
	return nil
}

func (b *decisionBody) decision(all []decisionBody) (Decision, error) {
	switch {
	case b.Send != nil:
		return *b.Send, nil
	case b.Fork != nil && b.Fork.Chunks == 0 && b.Fork.Staged == 0:
		return b.Fork, nil
	case b.Emit != nil:
		return *b.Emit, nil
	case b.Join != nil:
		return b.Join.join(all)
	case b.Undo != nil:
		return *b.Undo, nil
	case b.SetState != nil:
		return *b.SetState, nil
	case b.Record != nil:
		return *b.Record, nil
	case b.Cancel != nil:
		return *b.Cancel, nil
	case b.Move != nil:
		return *b.Move, nil
	case b.Reply != nil:
		return *b.Reply, nil
	case b.Return != nil:
		return *b.Return, nil
	case b.Finish != nil:
		return *b.Finish, nil
	case b.Fail != nil:
		return *b.Fail, nil
	}
	return nil, fmt.Errorf("%w: a decision that this program does not know", store.ErrCorrupt)
}

func (b *joinBody) join(all []decisionBody) (Decision, error) {
	j := b.Join
	if b.Fork == 0 {
		return j, nil
	}
	if b.Fork < 0 || b.Fork > len(all) || all[b.Fork-1].Fork == nil {
		return nil, fmt.Errorf("%w: a join of a fork that is not there", store.ErrCorrupt)
	}
	j.Fork = all[b.Fork-1].Fork
	return j, nil
}
