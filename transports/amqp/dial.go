package amqp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/rabbitmq/amqp091-go"

	"github.com/millrace-go/millrace/transports"
)

// connecting is how long a connection may take to be made and let in.
const connecting = 4 * time.Second

// dialer makes connections.
type dialer struct {
	scheme, addr, host, vhost string
	user, password            string
	heartbeat                 time.Duration
	tls                       *tls.Config
}

// dial connects, within the time of [connecting].
func (d dialer) dial(ctx context.Context) (*amqp091.Connection, *wire, error) {
	ctx, cancel := context.WithTimeout(ctx, connecting)
	defer cancel()
	w, err := d.dialWire(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", transports.ErrUnavailable, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = w.Close() })
	conn, err := d.handshake(ctx, w)
	if !stop() && err == nil {
		_ = conn.CloseDeadline(time.Now())
		err = ctx.Err()
	}
	if err != nil {
		_ = w.Close()
		return nil, nil, d.explain(ctx, err)
	}
	return conn, w, nil
}

func (d dialer) dialWire(ctx context.Context) (*wire, error) {
	plain, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return nil, err
	}
	return newWire(plain, 2*d.heartbeat), nil
}

func (d dialer) handshake(ctx context.Context, w *wire) (*amqp091.Connection, error) {
	var conn net.Conn = w
	if d.scheme == "amqps" {
		secure := tls.Client(w, d.tlsConfig())
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		conn = secure
	}
	host, _ := os.Hostname() // only for people who look at the server
	properties := amqp091.NewConnectionProperties()
	properties.SetClientConnectionName(fmt.Sprintf("millrace %s %d", host, os.Getpid()))
	return amqp091.Open(conn, amqp091.Config{
		SASL:       []amqp091.Authentication{&amqp091.PlainAuth{Username: d.user, Password: d.password}},
		Vhost:      d.vhost,
		Heartbeat:  d.heartbeat,
		Properties: properties,
		Locale:     "en_US",
	})
}

func (d dialer) tlsConfig() *tls.Config {
	c := d.tls.Clone()
	if c == nil {
		c = &tls.Config{}
	}
	if c.ServerName == "" {
		c.ServerName = d.host
	}
	return c
}

// explain says in one line why there is no connection. A server that did not
// refuse this user may let it in later.
func (d dialer) explain(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %s does not answer: %w", transports.ErrUnavailable, d.addr, ctx.Err())
	case errors.Is(err, amqp091.ErrCredentials):
		return fmt.Errorf("%s refuses the user %q or its password: %w", d.addr, d.user, err)
	case errors.Is(err, amqp091.ErrVhost):
		return fmt.Errorf("%s has no vhost %q for user %q: %w", d.addr, d.vhost, d.user, err)
	}
	return fmt.Errorf("%w: %s: %w", transports.ErrUnavailable, d.addr, oneLine(err))
}
