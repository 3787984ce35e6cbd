package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"

	"github.com/millrace-go/millrace/router"
)

const defaultStore = router.DefaultStore

// session is what a command works with.
type session struct {
	ctx   context.Context // of this one command line
	flags *commands
	out   io.Writer
	log   io.Writer
}

// config reads the settings: flags before environment before file.
func (s *session) config() (router.Config, error) {
	cfg, err := router.Load(s.flags.Config)
	if err != nil {
		return cfg, err
	}
	if s.flags.Store != "" {
		cfg.Store = s.flags.Store
	}
	if cfg.Store == "" {
		cfg.Store = defaultStore
	}
	cfg.Transport = "" // nothing is run here
	cfg.Log = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return cfg, nil
}

// with opens the store, which must have its schema, and closes it after f.
func (s *session) with(f func(r *router.Router) error) error {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	var asItIs bool
	cfg.Migrate = &asItIs
	r, err := router.New(s.ctx, cfg)
	if err != nil {
		return err
	}
	return errors.Join(f(r), r.Close())
}

// redacted is a store's URL as it may be shown.
func redacted(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return "?"
	}
	return u.Redacted()
}
