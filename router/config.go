package router

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/jonboulle/clockwork"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"

	"github.com/millrace-go/millrace/saga"
	"github.com/millrace-go/millrace/step"
	"github.com/millrace-go/millrace/store"
)

// Config says what a Router works on. The zero Config is an SQLite file,
// millrace.db in the working directory, and no broker. Durations are written
// as in Go: 30s, 5m.
type Config struct {
	// Store is the URL of the store. Default sqlite:millrace.db.
	Store string `koanf:"store"`
	// Transport is the URL of the broker. Default: none; messages travel
	// through the store.
	Transport string `koanf:"transport"`
	// Handover says where messages to tasks go that this process could run at
	// once: "broker" sends them through the broker, so that load spreads and
	// others see them; "local" runs them here as far as there is room. Default
	// broker; without a broker it does not matter.
	Handover string `koanf:"handover"`
	// Window is how many messages of a service may be in the broker at once;
	// the rest waits in the store. Default 4096.
	Window int `koanf:"window"`
	// Republish is after what time a message that went to the broker, and that
	// nobody took, is run from the store, or goes again. It doubles with each
	// time. Default 5s.
	Republish time.Duration `koanf:"republish"`
	// Migrate brings the store's schema up to date at opening. Default true;
	// false refuses a store whose schema does not fit, as where migrations
	// are run by hand.
	Migrate *bool `koanf:"migrate"`
	// Concurrency is how many messages of a service run at once in this
	// process. Default 256.
	Concurrency int `koanf:"concurrency"`
	// Timeout bounds each handler whose task sets none. Default: none.
	Timeout time.Duration `koanf:"timeout"`
	// UnknownFor is how long a message is retried whose task has no handler
	// here, before it is a dead letter: the time that a rolling deploy may
	// take. Default 10m.
	UnknownFor time.Duration `koanf:"unknown_for"`
	// Lease is how long this process keeps its messages without a heartbeat.
	// Default 30s.
	Lease time.Duration `koanf:"lease"`
	// Poll is how often an idle process looks for work of other processes, as
	// a safety net. Default 1s.
	Poll time.Duration `koanf:"poll"`
	// Drain is how long stopping waits for handlers. Default 30s.
	Drain time.Duration `koanf:"drain"`
	// Wait is how long opening waits for a store, or a broker, that is not there
	// yet. Default: it does not.
	Wait time.Duration `koanf:"wait"`
	// PayloadLimit is the most bytes of a payload. Default 1 MiB.
	PayloadLimit int `koanf:"payload_limit"`
	// Hold is how many messages of a service wait in memory for a handler.
	// Default 1024.
	Hold int `koanf:"hold"`
	// ScopeRetention is how long a wider scope of events lives after its last
	// use. Default 168h, 7 days.
	ScopeRetention time.Duration `koanf:"scope_retention"`
	// InboxRetention is how long ids of messages from outside are remembered.
	// Default 168h, 7 days.
	InboxRetention time.Duration `koanf:"inbox_retention"`

	// Policy is the retry policy of tasks that set none. Default:
	// step.DefaultPolicy. Its UnknownFor, if set, is instead of the above.
	Policy step.Policy `koanf:"-"`
	// Codec encodes payloads. Default saga.JSON.
	Codec saga.Codec `koanf:"-"`
	// Opened is a store to use instead of opening Store. Its owner closes it.
	Opened store.Store `koanf:"-"`
	// Clock is for tests: of timers, and of the store. Default: the machine's,
	// and the store's own.
	Clock clockwork.Clock `koanf:"-"`
	// Log takes what there is to say. Default slog.Default().
	Log *slog.Logger `koanf:"-"`
}

// Values of Config.Handover.
const (
	HandoverBroker = "broker"
	HandoverLocal  = "local"
)

// DefaultStore is the store of the zero Config.
const DefaultStore = "sqlite:millrace.db"

// EnvPrefix begins the names of environment variables that override a Config:
// MILLRACE_STORE, MILLRACE_TRANSPORT, MILLRACE_PAYLOAD_LIMIT and so on.
const EnvPrefix = "MILLRACE_"

// Load reads a Config from a YAML file (path "": none) and, over it, from the
// environment. A key that Config does not have, or a value that does not fit,
// is an error; it says in one line which and where.
func Load(path string) (Config, error) {
	var c Config
	if path != "" {
		if err := c.fromFile(path); err != nil {
			return Config{}, fmt.Errorf("config %s: %w", path, err)
		}
	}
	if err := c.fromEnv(); err != nil {
		return Config{}, fmt.Errorf("environment: %w", err)
	}
	return c, nil
}

func (c *Config) fromFile(path string) error {
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return oneLine(err)
	}
	return c.fill(k.Raw(), false, func(key string) string { return key })
}

func (c *Config) fromEnv() error {
	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{
		Prefix:        EnvPrefix,
		TransformFunc: envKey,
	}), nil)
	if err != nil {
		return oneLine(err)
	}
	return c.fill(k.Raw(), true, func(key string) string { return EnvPrefix + strings.ToUpper(key) })
}

// envKey turns the name of a variable into a key, or leaves it out: an empty
// one is none, and MILLRACE_TEST_* and MILLRACE_TORTURE are for tests.
func envKey(name, value string) (string, any) {
	key := strings.TrimPrefix(name, EnvPrefix)
	if value == "" || strings.HasPrefix(key, "TEST_") || strings.HasPrefix(key, "TORTURE") {
		return "", nil
	}
	return strings.ToLower(key), value
}

// fill sets what values name. Errors call a key as spell has it.
func (c *Config) fill(values map[string]any, texts bool, spell func(string) string) error {
	var seen mapstructure.Metadata
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result: c, TagName: "koanf", Metadata: &seen, WeaklyTypedInput: texts, DecodeHook: decodeValue,
		MatchName: func(key, field string) bool { return key == field },
	})
	if err != nil {
		return err
	}
	err = d.Decode(values)
	if bad := (*mapstructure.DecodeError)(nil); errors.As(err, &bad) {
		return fmt.Errorf("%s: %w", spell(bad.Name()), oneLine(bad.Unwrap()))
	}
	if err != nil {
		return oneLine(err)
	}
	if len(seen.Unused) == 0 {
		return nil
	}
	known := slices.DeleteFunc(append(seen.Keys, seen.Unset...), func(key string) bool { return key == notRead })
	return fmt.Errorf("unknown key %s; known are %s", spellAll(seen.Unused, spell), spellAll(known, spell))
}

// notRead marks the fields of Config that only programs set.
const notRead = "-"

func spellAll(keys []string, spell func(string) string) string {
	names := make([]string, len(keys))
	for i, key := range keys {
		names[i] = spell(key)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// decodeValue refuses numbers that would be taken for something else.
func decodeValue(from, to reflect.Type, value any) (any, error) {
	switch {
	case to == reflect.TypeFor[time.Duration]():
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("%v is no duration; write it with its unit, such as 30s or 5m", value)
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no duration; write it with its unit, such as 30s or 5m", text)
		}
		return d, nil
	case to.Kind() == reflect.Int && from.Kind() == reflect.Float64:
		return nil, fmt.Errorf("%v is no whole number", value)
	}
	return value, nil
}

// oneLine puts the lines of an error behind each other. What has one line
// stays as it is.
func oneLine(err error) error {
	if err == nil || !strings.Contains(err.Error(), "\n") {
		return err
	}
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' })
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return errors.New(strings.ReplaceAll(strings.Join(lines, "; "), ":; ", ": "))
}

// check fills in defaults and reports what makes no sense.
func (c *Config) check() error {
	if c.Store == "" {
		c.Store = DefaultStore
	}
	if c.Concurrency == 0 {
		c.Concurrency = 256
	}
	if c.Handover == "" {
		c.Handover = HandoverBroker
	}
	if c.Handover != HandoverBroker && c.Handover != HandoverLocal {
		return fmt.Errorf("config: handover is %q; it must be %s or %s", c.Handover, HandoverBroker, HandoverLocal)
	}
	if c.Codec == nil {
		c.Codec = saga.JSON{}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c.checkSigns()
}

func (c *Config) checkSigns() error {
	for _, f := range []struct {
		key      string
		negative bool
		value    any
	}{
		{"concurrency", c.Concurrency < 0, c.Concurrency}, {"timeout", c.Timeout < 0, c.Timeout},
		{"unknown_for", c.UnknownFor < 0, c.UnknownFor}, {"lease", c.Lease < 0, c.Lease}, {"poll", c.Poll < 0, c.Poll},
		{"drain", c.Drain < 0, c.Drain}, {"wait", c.Wait < 0, c.Wait}, {"payload_limit", c.PayloadLimit < 0, c.PayloadLimit},
		{"hold", c.Hold < 0, c.Hold}, {"scope_retention", c.ScopeRetention < 0, c.ScopeRetention},
		{"inbox_retention", c.InboxRetention < 0, c.InboxRetention}, {"window", c.Window < 0, c.Window},
		{"republish", c.Republish < 0, c.Republish},
	} {
		if f.negative {
			return fmt.Errorf("config: %s is %v; it must not be negative", f.key, f.value)
		}
	}
	return nil
}

func (c *Config) storeOptions() store.Options {
	o := store.Options{NoMigrate: c.Migrate != nil && !*c.Migrate}
	if c.Clock != nil { // else the store's own, which may be its server's
		o.Now = c.Clock.Now
	}
	return o
}
