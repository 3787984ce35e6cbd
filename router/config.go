package router

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
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
	// Migrate brings the store's schema up to date at opening. Default true;
	// false refuses a store whose schema does not fit, as where migrations
	// are run by hand.
	Migrate *bool `koanf:"migrate"`
	// Concurrency is how many messages of a service run at once in this
	// process. Default 256.
	Concurrency int `koanf:"concurrency"`
	// Timeout bounds each handler whose task sets none. Default: none.
	Timeout time.Duration `koanf:"timeout"`
	// Lease is how long this process keeps its messages without a heartbeat.
	// Default 30s.
	Lease time.Duration `koanf:"lease"`
	// Poll is how often an idle process looks for work of other processes, as
	// a safety net. Default 1s.
	Poll time.Duration `koanf:"poll"`
	// Drain is how long stopping waits for handlers. Default 30s.
	Drain time.Duration `koanf:"drain"`
	// Wait is how long opening waits for a store that is not there yet.
	// Default: it does not.
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
	// step.DefaultPolicy.
	Policy step.Policy `koanf:"-"`
	// Codec encodes payloads. Default saga.JSON.
	Codec saga.Codec `koanf:"-"`
	// Opened is a store to use instead of opening Store. Its owner closes it.
	Opened store.Store `koanf:"-"`
	// Clock is for tests: of timers, and of embedded stores.
	Clock clockwork.Clock `koanf:"-"`
	// Log takes what there is to say. Default slog.Default().
	Log *slog.Logger `koanf:"-"`
}

// DefaultStore is the store of the zero Config.
const DefaultStore = "sqlite:millrace.db"

// EnvPrefix begins the names of environment variables that override a Config:
// MILLRACE_STORE, MILLRACE_TRANSPORT, MILLRACE_PAYLOAD_LIMIT and so on.
const EnvPrefix = "MILLRACE_"

// Load reads a Config from a YAML file (path "": none) and, over it, from the
// environment. A key that Config does not have is an error.
func Load(path string) (Config, error) {
	k := koanf.New(".")
	if path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return Config{}, fmt.Errorf("config %s: %w", path, err)
		}
	}
	var c Config
	if err := unmarshal(k, &c); err != nil {
		return Config{}, fmt.Errorf("config %s: %w", path, err)
	}
	if err := fromEnv(&c); err != nil {
		return Config{}, err
	}
	return c, nil
}

func fromEnv(c *Config) error {
	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{
		Prefix: EnvPrefix,
		TransformFunc: func(name, value string) (string, any) {
			return strings.ToLower(strings.TrimPrefix(name, EnvPrefix)), value
		},
		EnvironFunc: configEnv,
	}), nil)
	if err == nil {
		err = unmarshal(k, c)
	}
	if err != nil {
		return fmt.Errorf("environment %s*: %w", EnvPrefix, err)
	}
	return nil
}

// configEnv leaves out MILLRACE_TEST_*, which is for tests.
func configEnv() []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, EnvPrefix+"TEST_") && !strings.HasPrefix(e, EnvPrefix+"TORTURE") {
			out = append(out, e)
		}
	}
	return out
}

func unmarshal(k *koanf.Koanf, c *Config) error {
	err := k.UnmarshalWithConf("", c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: c, TagName: "koanf", ErrorUnused: true, WeaklyTypedInput: true,
		DecodeHook: mapstructure.StringToTimeDurationHookFunc(),
	}})
	return oneLine(err)
}

func oneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

// check fills in defaults and reports what makes no sense.
func (c *Config) check() error {
	if c.Store == "" {
		c.Store = DefaultStore
	}
	if c.Concurrency == 0 {
		c.Concurrency = 256
	}
	if c.Codec == nil {
		c.Codec = saga.JSON{}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = clockwork.NewRealClock()
	}
	for _, n := range []struct {
		key string
		bad bool
	}{
		{"concurrency", c.Concurrency < 0}, {"timeout", c.Timeout < 0}, {"lease", c.Lease < 0}, {"poll", c.Poll < 0},
		{"drain", c.Drain < 0}, {"wait", c.Wait < 0}, {"payload_limit", c.PayloadLimit < 0}, {"hold", c.Hold < 0},
		{"scope_retention", c.ScopeRetention < 0}, {"inbox_retention", c.InboxRetention < 0},
	} {
		if n.bad {
			return fmt.Errorf("config: %s is negative", n.key)
		}
	}
	return nil
}

func (c *Config) storeOptions() store.Options {
	return store.Options{Now: c.Clock.Now, NoMigrate: c.Migrate != nil && !*c.Migrate}
}
