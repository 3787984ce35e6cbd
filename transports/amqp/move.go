package amqp

import (
	"context"
	"maps"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/rabbitmq/amqp091-go"
)

// Pauses before a refused message is put back.
const (
	firstPutBack = 2 * time.Millisecond
	mostPutBack  = time.Second
)

// moving is how long putting a copy elsewhere may take before the original is
// given back instead.
const moving = 5 * time.Second

// putBack puts a refused message at the end of its queue, after a pause that
// grows with each time. The server itself would put it at the head, where it
// would keep others from being delivered.
func (sub *subscription) putBack(ctx context.Context, c *consumer, d amqp091.Delivery) {
	n, _ := strconv.Atoi(text(d.Headers[headerRefused]))
	if !sleep(ctx, pause(n, firstPutBack, mostPutBack)) {
		c.acks.giveBack(d.DeliveryTag)
		return
	}
	again := copyOf(d)
	again.Headers[headerRefused] = strconv.Itoa(max(n, 0) + 1)
	sub.move(ctx, c, d, sub.queue, again)
}

// name gives a message without an id one, by putting it into the queue again:
// so the id stays the same however often it is delivered.
func (sub *subscription) name(ctx context.Context, c *consumer, d amqp091.Delivery) {
	named := copyOf(d)
	named.MessageId = watermill.NewUUID()
	sub.move(ctx, c, d, sub.queue, named)
}

// park puts a message that can't be understood where people can look at it.
func (sub *subscription) park(ctx context.Context, c *consumer, d amqp091.Delivery, why error) {
	queue := sub.s.t.name.parking(sub.topic)
	sub.s.t.c.Log.Warn("a malformed message is parked", "topic", sub.topic, "queue", queue, "message", d.MessageId, "error", why)
	parked := copyOf(d)
	parked.Headers[headerReason] = oneLine(why).Error()
	sub.move(ctx, c, d, queue, parked)
}

// move publishes a copy of d with confirm, and then acknowledges d. If that
// fails, the server is to deliver d again, after a pause. There may be two of
// it then, but never none.
func (sub *subscription) move(ctx context.Context, c *consumer, d amqp091.Delivery, queue string, p amqp091.Publishing) {
	within, cancel := context.WithTimeout(ctx, moving)
	defer cancel()
	err := sub.s.t.pub.send(within, []outgoing{{queue, p}})
	if err == nil {
		c.acks.ack(d.DeliveryTag)
		return
	}
	if ctx.Err() == nil {
		sub.s.t.c.Log.Debug("a message could not be moved", "topic", sub.topic, "queue", queue, "error", err)
	}
	sleep(ctx, mostPutBack)
	c.acks.giveBack(d.DeliveryTag)
}

// copyOf returns d for publishing it once more. The user is left out: the
// server takes it from that user only.
func copyOf(d amqp091.Delivery) amqp091.Publishing {
	headers := amqp091.Table{}
	maps.Copy(headers, d.Headers)
	for key, value := range headers {
		if (amqp091.Table{key: value}).Validate() != nil {
			headers[key] = text(value)
		}
	}
	delete(headers, "CC") // it was copied to those queues once
	delete(headers, "BCC")
	return amqp091.Publishing{
		Headers: headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding,
		DeliveryMode: amqp091.Persistent, Priority: d.Priority, CorrelationId: d.CorrelationId,
		ReplyTo: d.ReplyTo, Expiration: d.Expiration, MessageId: d.MessageId,
		Timestamp: d.Timestamp, Type: d.Type, AppId: d.AppId, Body: d.Body,
	}
}
