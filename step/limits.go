package step

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrTooLarge says that a payload or a name is over its limit.
var ErrTooLarge = errors.New("over the size limit")

// ErrBadName says that a name is empty, not UTF-8, or holds a NUL.
var ErrBadName = errors.New("bad name")

// Limits bound what is stored; zero fields take the defaults.
type Limits struct {
	Payload int // bytes of a payload, state, result or event; default 1 MiB
	Name    int // bytes of a name or id; default 255
	Fork    int // sends of one outcome that are not staged; default 1000
}

// WithDefaults fills in what is zero.
func (l Limits) WithDefaults() Limits {
	if l.Payload <= 0 {
		l.Payload = 1 << 20
	}
	if l.Name <= 0 {
		l.Name = 255
	}
	if l.Fork <= 0 {
		l.Fork = 1000
	}
	return l
}

// Check reports what of o is over a limit or no proper name, before anything
// is written. The error wraps ErrTooLarge or ErrBadName.
func (l Limits) Check(o *Outcome) error {
	if s := o.Start; s != nil {
		if err := errors.Join(l.name("run id", s.RunID), l.task(s.Task), l.data("input", s.Input), l.meta(s.Meta)); err != nil {
			return err
		}
	}
	if s := o.Source; s != nil {
		if err := errors.Join(l.name("consumer", s.Consumer), l.name("message id", s.ID)); err != nil {
			return err
		}
	}
	if a := o.Abort; a != nil {
		if err := errors.Join(l.name("run id", a.RunID), l.text("reason", a.Reason)); err != nil {
			return err
		}
	}
	if err := l.optional("exclusive key", o.Key); err != nil {
		return err
	}
	for i := range o.Sends {
		if err := l.send(&o.Sends[i]); err != nil {
			return err
		}
	}
	if d := o.Dead; d != nil && d.Payload != nil {
		return l.data("payload", *d.Payload)
	}
	for _, d := range o.Decisions {
		if err := l.decision(d); err != nil {
			return err
		}
	}
	return nil
}

func (l Limits) decision(d Decision) error {
	switch d := d.(type) {
	case Send:
		return l.send(&d)
	case *Fork:
		for i := range d.Sends {
			if err := l.send(&d.Sends[i]); err != nil {
				return err
			}
		}
	case Emit:
		return errors.Join(l.name("event", d.Event), l.optional("scope", d.Scope), l.data("event data", d.Data))
	case Join:
		return l.join(&d)
	case Undo:
		return l.send(&d.Send)
	case SetState:
		return l.data("state", d.Data)
	case Record:
		return errors.Join(l.name("history entry", d.Kind), l.data("history entry", d.Data))
	case Cancel:
		return errors.Join(l.name("timer", d.Name), l.maybe(d.Late))
	case Move:
		return errors.Join(l.name("timer", d.Name), l.maybe(d.Late))
	case Reply:
		return errors.Join(l.name("reply topic", d.Topic), l.data("reply", d.Data))
	case Return:
		return l.data("returned value", d.Data)
	case Finish:
		return l.data("result", d.Result)
	case Fail:
		return l.text("reason", d.Reason)
	}
	return nil
}

func (l Limits) join(j *Join) error {
	for i, e := range j.Rule.Events {
		if err := l.name("event", e); err != nil {
			return err
		}
		for _, f := range j.Rule.Events[:i] {
			if e == f {
				return fmt.Errorf("%w: join names event %q twice", ErrBadName, e)
			}
		}
	}
	if strings.HasPrefix(j.Name, "#") {
		return fmt.Errorf("%w: join name %q begins with #", ErrBadName, j.Name)
	}
	return errors.Join(l.optional("join", j.Name), l.optional("scope", j.Scope), l.send(&j.Then), l.maybe(j.Else))
}

func (l Limits) maybe(s *Send) error {
	if s == nil {
		return nil
	}
	return l.send(s)
}

func (l Limits) send(s *Send) error {
	if s.Task == "" {
		if err := l.name("topic", s.Topic); err != nil {
			return err
		}
	} else if err := l.task(s.Task); err != nil {
		return err
	}
	if len(s.Payload) > l.Payload {
		return l.data("payload for "+s.Task, s.Payload)
	}
	return errors.Join(l.optional("timer", s.Name), l.optional("exclusive key", s.Key), l.meta(s.Meta))
}

// CheckTask reports a task's name that is not of the form service/task. The
// error wraps ErrTooLarge or ErrBadName.
func (l Limits) CheckTask(name string) error { return l.task(name) }

func (l Limits) task(name string) error {
	if err := l.name("task", name); err != nil {
		return err
	}
	service, rest, ok := strings.Cut(name, "/")
	if !ok || service == "" || rest == "" || strings.HasPrefix(service, "~") {
		return fmt.Errorf("%w: task %q is not of the form service/task", ErrBadName, name)
	}
	return nil
}

func (l Limits) meta(m map[string]string) error {
	n := 0
	for k, v := range m {
		n += len(k) + len(v)
	}
	if n > l.Payload {
		return fmt.Errorf("%w: metadata has %d bytes, limit %d", ErrTooLarge, n, l.Payload)
	}
	return nil
}

func (l Limits) data(what string, b []byte) error {
	if len(b) > l.Payload {
		return fmt.Errorf("%w: %s has %d bytes, limit %d", ErrTooLarge, what, len(b), l.Payload)
	}
	return nil
}

func (l Limits) text(what, s string) error {
	if len(s) > l.Payload {
		return fmt.Errorf("%w: %s has %d bytes, limit %d", ErrTooLarge, what, len(s), l.Payload)
	}
	return nil
}

func (l Limits) optional(what, s string) error {
	if s == "" {
		return nil
	}
	return l.name(what, s)
}

func (l Limits) name(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: %s is empty", ErrBadName, what)
	case len(s) > l.Name:
		return fmt.Errorf("%w: %s has %d bytes, limit %d", ErrTooLarge, what, len(s), l.Name)
	case !utf8.ValidString(s) || strings.ContainsRune(s, 0):
		return fmt.Errorf("%w: %s %q is not UTF-8 text without NUL", ErrBadName, what, s)
	}
	return nil
}

// Service returns the service part of a task's name, which is its topic.
func Service(task string) string {
	s, _, _ := strings.Cut(task, "/")
	return s
}
