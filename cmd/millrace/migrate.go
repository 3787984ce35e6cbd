package main

import (
	"fmt"

	"github.com/millrace-go/millrace/store"
)

type migrate struct{}

type migrated struct {
	Store string `json:"store"`
	From  int    `json:"from"`
	To    int    `json:"to"`
}

// Run brings the schema to the newest version.
func (*migrate) Run(s *session) error {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	m := migrated{Store: redacted(cfg.Store)}
	if m.From, m.To, err = store.Migrate(s.ctx, cfg.Store, store.Options{}); err != nil {
		return err
	}
	switch {
	case s.flags.JSON:
		return s.document(m)
	case m.To == 0:
		fmt.Fprintf(s.out, "%s has no schema\n", m.Store)
	case m.From == m.To:
		fmt.Fprintf(s.out, "%s: schema is at version %d, the newest\n", m.Store, m.To)
	default:
		fmt.Fprintf(s.out, "%s: schema migrated from version %d to %d\n", m.Store, m.From, m.To)
	}
	return nil
}
