package router

import "github.com/ThreeDotsLabs/watermill"

// quiet drops what Watermill's Router says of every single message, before
// any of it is put together. What remains is logged at its own level, but
// Info, which is about the Router's inside, as Debug.
type quiet struct{ watermill.LoggerAdapter }

func (quiet) Trace(string, watermill.LogFields) {}
func (quiet) Debug(string, watermill.LogFields) {}

func (q quiet) Info(msg string, fields watermill.LogFields) { q.LoggerAdapter.Debug(msg, fields) }

func (q quiet) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return quiet{q.LoggerAdapter.With(fields)}
}
