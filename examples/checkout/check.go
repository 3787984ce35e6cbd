package main

import (
	"fmt"
	"io"
)

// Summary is how the orders ended.
type Summary struct{ Orders, Shipped, Compensated, Expired int }

// Print writes the summary for people.
func (s Summary) Print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%10d  orders\n%10d  shipped\n%10d  compensated\n%10d  expired\n",
		s.Orders, s.Shipped, s.Compensated, s.Expired)
	return err
}

func sum(ends []string) Summary {
	s := Summary{Orders: len(ends)}
	for _, end := range ends {
		switch end {
		case shipped:
			s.Shipped++
		case compensated:
			s.Compensated++
		case expired:
			s.Expired++
		}
	}
	return s
}

// check compares the ends of the runs with what the handlers wrote down: each
// order ended in exactly one way, and what was done for one that was not
// shipped is undone.
func check(l *Ledger, ended Summary, orders []string) error {
	written := Summary{Orders: len(orders)}
	for _, id := range orders {
		n := map[string]int{}
		for _, what := range []string{"packed", "unpacked", "charged", "refunded", shipped, compensated, expired} {
			var err error
			if n[what], err = l.Count(id, what); err != nil {
				return err
			}
		}
		switch {
		case n[shipped]+n[compensated]+n[expired] != 1:
			return fmt.Errorf("the ledger has order %s end in another way than exactly one: %v", id, n)
		case n["packed"] != n[shipped]+n["unpacked"]:
			return fmt.Errorf("order %s is neither shipped nor unpacked, or both: %v", id, n)
		case n["charged"] != n[shipped]+n["refunded"]:
			return fmt.Errorf("order %s is charged and neither shipped nor refunded, or both: %v", id, n)
		}
		written.Shipped += n[shipped]
		written.Compensated += n[compensated]
		written.Expired += n[expired]
	}
	if written != ended {
		return fmt.Errorf("the ledger has %+v, and the runs have %+v", written, ended)
	}
	return nil
}
