package redis

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"

	client "github.com/redis/go-redis/v9"
)

//go:embed lua/*.lua
var sources embed.FS

// script is a Lua script. Servers know it by its hash once they have run it.
type script struct{ text, hash string }

// What a script does when the server is out of memory: those that only read
// work, and so do those that give memory back or keep a worker alive. The
// others are refused before they begin.
const (
	reads   = "no-writes"
	grows   = ""
	relieve = "allow-oom"
)

var (
	readScript         = newScript("read", reads)
	commitScript       = newScript("commit", grows)
	settleScript       = newScript("settle", relieve)
	numbersScript      = newScript("numbers", grows)
	grabScript         = newScript("grab", grows)
	beatScript         = newScript("beat", relieve)
	reapScript         = newScript("reap", relieve)
	purgeScript        = newScript("purge", relieve)
	sleepScript        = newScript("sleep", grows)
	findMessagesScript = newScript("find_messages", reads)
	findRunsScript     = newScript("find_runs", reads)
	findRowsScript     = newScript("find_rows", reads)
	findWorkersScript  = newScript("find_workers", reads)
	foundScript        = compose("#!lua flags=\n" + source("found"))
)

func source(name string) string {
	text, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(err) // it is part of the program
	}
	return string(text)
}

// newScript puts the prelude before a script.
func newScript(name, flags string) *script {
	return compose("#!lua flags=" + flags + "\n" + source("prelude") + source(name))
}

func compose(text string) *script {
	sum := sha1.Sum([]byte(text)) // what servers know scripts by
	return &script{text: text, hash: hex.EncodeToString(sum[:])}
}

// run runs a script. args follow the name of the store.
func (s *Store) run(ctx context.Context, sc *script, args ...any) (any, error) {
	all := append(make([]any, 0, 1+len(args)), s.name)
	return s.eval(ctx, sc, append(all, args...))
}

func (s *Store) eval(ctx context.Context, sc *script, args []any) (any, error) {
	keys := []string{s.root}
	got, err := s.client.EvalSha(ctx, sc.hash, keys, args...).Result()
	if client.HasErrorPrefix(err, "NOSCRIPT") {
		return s.client.Eval(ctx, sc.text, keys, args...).Result()
	}
	return got, err
}

// list is run for scripts that answer with a list.
func (s *Store) list(ctx context.Context, sc *script, args ...any) (answers, error) {
	got, err := s.run(ctx, sc, args...)
	if err != nil {
		return answers{}, err
	}
	list, _ := got.([]any)
	return answers{list: list}, nil
}

// answers are read from front to back. What is missing is empty.
type answers struct{ list []any }

func (a *answers) more() bool { return len(a.list) > 0 }

// text returns the next answer; ok is false for one that is absent.
func (a *answers) text() (v string, ok bool) {
	if len(a.list) == 0 {
		return "", false
	}
	v, ok = a.list[0].(string)
	a.list = a.list[1:]
	return v, ok
}

func (a *answers) number() int64 {
	if len(a.list) == 0 {
		return 0
	}
	first := a.list[0]
	a.list = a.list[1:]
	switch v := first.(type) {
	case int64:
		return v
	case string:
		return decimal(v)
	}
	return 0
}
