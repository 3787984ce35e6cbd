// Package redis keeps rows on a Redis server, for any number of processes on
// any number of machines.
//
// Importing it registers the schemes redis and rediss (with TLS):
//
//	redis://user:password@host:6379/0
//
// Settings follow as a query; see [Config] for what they mean:
//
//	redis://host/0?prefix=orders&cluster=true&timeout=10s&connections=16
//
// The server must be Redis 7.0 or newer, or one that speaks as it does, such as
// Valkey. Its maxmemory-policy must be noeviction: a server that evicts keys
// would lose work, and is refused.
//
// # What survives a crash
//
// A commit is as durable as the server's log, which Open tells in the log:
//
//	appendonly yes, appendfsync always    on disk before it is answered
//	appendonly yes, appendfsync everysec  a crash may undo the last second or two
//	otherwise                             a crash may undo all since the last snapshot
//
// With always, what is read is durable too, since the server answers nobody
// before it has brought its log to disk. Replicas are no part of the promise:
// a server writes to them later, so a failover may undo commits that were
// answered, whatever the setting (min-replicas-to-write bounds how many; the
// store does not call WAIT, which would not undo what it could not wait for).
// After a failover that lost commits, the numbers that the server gives out
// would go back; a Store that sees this logs an error and gives out none
// twice. A server that was emptied, or on which another store stands under the
// prefix, answers everything with [store.ErrSchema] until the process opens it
// anew.
//
// A server writes its log anew when that has doubled, from 64 MB on by default:
// under load each second or two, by a process that takes a processor. For speed
// set auto-aof-rewrite-min-size to a GB or more.
//
// # How it works
//
// A commit is two scripts. The first reads what is named, at one moment. The
// core decides on it, here. The second compares all that was read with how it
// stands now, and only if nothing of it has changed does it write, and from
// then on it can't fail: Redis takes nothing back that a script has done. What
// has changed meanwhile is read and decided again. Values begin with a stamp of
// the commit that wrote them, so that comparing is cheap, and commits get in
// each other's way only if they touch the same rows.
//
// Most commits save the first script: what this process has written or read last
// it knows (cache.go), and what it knows is checked like anything that was read.
// So the next commit is decided while the one before it is on its way
// (flight.go). Where other processes change the same rows, this turns out wrong
// more often, and commits read again for a while.
//
// Open runs and held messages that this process wrote are not even compared, as
// long as no other has committed since: the key by tells which lane is alone, and
// since when. Who changes rows by hand deletes it in the same transaction, or
// stops all processes before.
//
// Each commit leaves a token, by which one whose answer was lost is found: it
// took effect or it never will (see lane.go). Only if the server stays out of
// reach for [Config].Timeout is its outcome [store.ErrUnknown].
//
// A script whose memory is not enough is refused before it begins; heartbeats,
// reaping and purging go on.
//
// # Keys
//
// All keys begin with the hash tag {prefix:0} and a colon, so that they are in
// one slot of a cluster. (Slots must not be moved between nodes while a store
// in them is used: a script sees half of a slot that is on the way.) The number
// is that of the shard; there is one.
//
//	store, layout          the store's random name, the version of this layout
//	m:<block>, r:<block>   hashes of messages and runs by number, 1024 numbers in each
//	mb, rb                 the blocks that there are
//	q:<topic>, t:<topic>   free messages that may be grabbed, by priority and age; and by due time
//	free, name             free messages by run; messages by run and timer name
//	id, ended              runs by id; closed ones by their end
//	row, rows, until       rows; their keys in order; those that may be purged some day
//	w, worker              workers; the key that was given last
//	next, lane:*, by       the next free number; tokens of commits; which lane is alone
//	freed, sleep, wake     wake-ups: a count, who sleeps, and a channel
//	x:*                    never the store's own
//
// A message that is born held, and has no timer's name, is in its block and in
// nothing else.
//
// # For transports on the same server
//
// A transport whose streams are on the store's server and database has its
// messages added by the commit itself ([Store.PublishBy]). Whether that is so
// it finds out by [Store.Server]. On a cluster its keys must be made by
// [Store.Key], such as Key("x:stream:orders").
package redis
