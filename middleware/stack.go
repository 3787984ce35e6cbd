package middleware

import "runtime"

// handlerStack is about what a handler needs that decodes JSON.
const handlerStack = 6 << 10

// growStack makes the goroutine's stack large enough for most handlers. Watermill
// runs each message on a new goroutine; that its stack grows deep inside a
// handler, where many frames must be moved, would cost a tenth of all CPU time.
//
//go:noinline
func growStack() {
	var room [handlerStack]byte
	runtime.KeepAlive(&room)
}
