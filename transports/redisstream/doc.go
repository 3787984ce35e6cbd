// Package redisstream carries messages over Redis Streams (Redis 7 or newer).
//
// A topic is a stream, and one consumer group of it works the messages off.
// Entries are those of watermill-redisstream, whose services can read and
// write the same streams. What it does with consumer groups would lose,
// repeat or keep back messages here, so that the subscriber is our own:
//
//   - one reader for each subscription fetches as many messages as it has
//     room for; acknowledgements go out in batches;
//   - an acknowledged entry is deleted, so that a stream's length is its
//     backlog (see [Config].Keep for streams with other groups);
//   - what is in flight is kept from being claimed by others, however long it
//     takes; what a process that died had is claimed after Config.ClaimAfter;
//   - what a subscription that ends has not finished is given back at once;
//   - an entry that is no message goes to the stream "<topic>.parked";
//   - a stream that was deleted is made again.
package redisstream
