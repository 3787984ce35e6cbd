package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// Ledger is what the handlers write down about what they did: a file with a
// line for each entry. It is the outside world of this example, and no part of
// millrace's store, so that the one can be checked against the other. It is
// safe for concurrent use, also by several processes.
type Ledger struct {
	mu      sync.Mutex
	file    *os.File
	read    int64                      // bytes of the file that are in entries
	entries map[string]map[string]bool // by order: "what message"
	known   map[string]map[string]int  // by order and what: how many messages
}

// Entry is one thing that was done, for one message.
type Entry struct{ Order, What, Message string }

// OpenLedger opens the file, and makes it if it is missing.
func OpenLedger(path string) (*Ledger, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	l := &Ledger{file: file, entries: map[string]map[string]bool{}, known: map[string]map[string]int{}}
	if err := l.catchUp(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return l, nil
}

// Close releases the file.
func (l *Ledger) Close() error { return l.file.Close() }

// Add writes an entry, unless it is there. One write appends the whole line,
// so that a process that dies leaves all of it or nothing.
func (l *Ledger) Add(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.catchUp(); err != nil {
		return err
	}
	if l.entries[e.Order][e.What+" "+e.Message] {
		return nil
	}
	if _, err := fmt.Fprintln(l.file, e.Order, e.What, e.Message); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	return nil
}

// Has reports whether something was done for an order.
func (l *Ledger) Has(order, what string) (bool, error) {
	n, err := l.Count(order, what)
	return n > 0, err
}

// Count says for how many messages something was done for an order.
func (l *Ledger) Count(order, what string) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.catchUp()
	return l.known[order][what], err
}

// Sums counts the entries of the orders that begin with prefix, by what was
// done.
func (l *Ledger) Sums(prefix string) (map[string]int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.catchUp()
	sums := map[string]int{}
	for order, whats := range l.known {
		if !strings.HasPrefix(order, prefix) {
			continue
		}
		for what, n := range whats {
			sums[what] += n
		}
	}
	return sums, err
}

// catchUp reads the lines that were added since, by whomever.
func (l *Ledger) catchUp() error {
	info, err := l.file.Stat()
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	added, err := io.ReadAll(io.NewSectionReader(l.file, l.read, info.Size()-l.read))
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	for {
		line, rest, whole := bytes.Cut(added, []byte("\n"))
		if !whole {
			return nil
		}
		l.read += int64(len(line)) + 1
		added = rest
		l.note(string(line))
	}
}

func (l *Ledger) note(line string) {
	var e Entry
	if n, _ := fmt.Sscan(line, &e.Order, &e.What, &e.Message); n < 3 {
		return
	}
	if l.entries[e.Order] == nil {
		l.entries[e.Order], l.known[e.Order] = map[string]bool{}, map[string]int{}
	}
	if key := e.What + " " + e.Message; !l.entries[e.Order][key] {
		l.entries[e.Order][key] = true
		l.known[e.Order][e.What]++
	}
}
