package main

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"
)

// Order is what a customer wants. How it will end is known to the bank only.
type Order struct {
	ID       string        // batch-number
	Deadline time.Duration // for the payment
}

// Receipt says that an order was paid.
type Receipt struct{ Order, Charge string }

// bank stands for a payment service. It decides by an order's number, so that
// it says the same however often it is asked.
type bank struct {
	decline float64 // share of the orders whose card is declined
	silent  float64 // share of the orders whose customers never pay
}

type answer int

const (
	approved answer = iota
	declined
	pending
)

func (b bank) ask(order string) answer {
	switch x := share(order, "payment"); {
	case x < b.decline:
		return declined
	case x < b.decline+b.silent:
		return pending
	}
	return approved
}

// busy reports whether the bank is too busy to answer: it happens to one
// order in ten, and then once.
func (b bank) busy(order string, attempt int) bool {
	return attempt == 1 && share(order, "busy") < 0.1
}

// share spreads orders, by their numbers, evenly over 0 to 1.
func share(order, what string) float64 {
	_, number, _ := strings.Cut(order, "-")
	h := fnv.New64a()
	fmt.Fprint(h, number, what)
	return float64(mix(h.Sum64())>>11) / (1 << 53)
}

// mix makes each bit of the result depend on all of x.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
