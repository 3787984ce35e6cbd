package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/millrace-go/millrace/store"
	"github.com/millrace-go/millrace/store/internal/setting"
)

func init() { store.Register("sqlite", openURL) }

// Synchronous says what a commit survives.
type Synchronous string

// Full commits survive the loss of power: each waits for the disk. Normal
// commits survive the end of the process at any instant, but the newest may be
// undone by a crash of the machine; the file stays consistent.
const (
	Full   Synchronous = "full"
	Normal Synchronous = "normal"
)

// Config is how a file is opened. The zero value is useful.
type Config struct {
	// Synchronous says what a commit survives. Default: Full.
	// In a URL: synchronous=full or synchronous=normal.
	Synchronous Synchronous

	// BusyTimeout is how long a call that writes waits for its turn, while
	// other calls, transactions or processes write, before it fails with
	// store.ErrUnavailable. It must be longer than the longest transaction.
	// Default: 30 s. In a URL: busy_timeout=10s.
	BusyTimeout time.Duration

	// CacheMiB is how much of the file the writer keeps in memory, in MiB.
	// More than the pages that are in use all the time gains nothing, since
	// the system caches the file too. Default: 8. In a URL: cache=8.
	CacheMiB int

	// CheckpointPages is how many pages of 4 KiB the write-ahead log grows by
	// before a commit copies it into the file. More is faster, since a page
	// that changes often is copied once, and makes the log and that one
	// commit longer. Default: 4000. In a URL: checkpoint=4000.
	CheckpointPages int

	// Options are those common to all stores.
	Options store.Options
}

const (
	defaultBusyTimeout     = 30 * time.Second
	defaultCacheMiB        = 8
	defaultCheckpointPages = 4000
)

// complete fills in defaults and checks the rest.
func (c Config) complete() (Config, error) {
	if c.Synchronous == "" {
		c.Synchronous = Full
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = defaultBusyTimeout
	}
	if c.CacheMiB == 0 {
		c.CacheMiB = defaultCacheMiB
	}
	if c.CheckpointPages == 0 {
		c.CheckpointPages = defaultCheckpointPages
	}
	if c.Options.Now == nil {
		c.Options.Now = time.Now
	}
	switch {
	case c.Synchronous != Full && c.Synchronous != Normal:
		return c, fmt.Errorf("synchronous is %q; it must be %q or %q", c.Synchronous, Full, Normal)
	case c.BusyTimeout < 0:
		return c, fmt.Errorf("busy_timeout is %v; it must not be negative", c.BusyTimeout)
	case c.CacheMiB < 0:
		return c, fmt.Errorf("cache is %d; it must not be negative", c.CacheMiB)
	case c.CheckpointPages < 0:
		return c, fmt.Errorf("checkpoint is %d; it must not be negative", c.CheckpointPages)
	}
	return c, nil
}

func openURL(ctx context.Context, u *url.URL, o store.Options) (store.Store, error) {
	path, err := pathOf(u)
	if err != nil {
		return nil, err
	}
	c, err := configOf(u)
	if err != nil {
		return nil, err
	}
	c.Options = o
	return Open(ctx, path, c)
}

// pathOf reads the path of sqlite:///abs, sqlite://rel and sqlite:rel.
func pathOf(u *url.URL) (string, error) {
	if u.User != nil || u.Fragment != "" {
		return "", errors.New("the URL must be sqlite:///absolute/path.db or sqlite:relative.db")
	}
	if u.Opaque == "" {
		return u.Host + u.Path, nil
	}
	path, err := url.PathUnescape(u.Opaque)
	if err != nil {
		return "", fmt.Errorf("path of the file: %w", err)
	}
	return path, nil
}

// configOf reads the settings of a URL. Unknown, repeated and empty ones are
// errors.
func configOf(u *url.URL) (Config, error) {
	var c Config
	return c, setting.Each(u, c.set)
}

func (c *Config) set(key, value string) (err error) {
	switch key {
	case "synchronous":
		c.Synchronous = Synchronous(value)
	case "busy_timeout":
		c.BusyTimeout, err = time.ParseDuration(value)
	case "cache":
		c.CacheMiB, err = strconv.Atoi(value)
	case "checkpoint":
		c.CheckpointPages, err = strconv.Atoi(value)
	default:
		return fmt.Errorf("unknown setting %q of the URL; known are synchronous, busy_timeout, cache and checkpoint", key)
	}
	return setting.Invalid(key, value, err)
}
