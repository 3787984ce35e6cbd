package redis

import "github.com/millrace-go/millrace/store"

// PublishBy implements [store.Publisher]. The text of a statement is the name
// of a command, such as XADD, and its arguments are that command's. The
// commit's script carries it out with the changes, all or nothing; so it checks
// beforehand that the user may, and that the key of an XADD is a stream or
// absent. Other commands must be such that they can't fail. On a cluster, keys
// must be named by [Store.Key].
func (s *Store) PublishBy(translate func([]store.Publication) ([]store.Statement, error)) {
	s.translate = translate
}
