package main

import (
	"crypto/rand"
	"strconv"
	"strings"
)

// payload is what every message carries: 200 bytes of JSON.
type payload struct {
	Run  int    `json:"run"`
	Step int    `json:"step"`
	Pad  string `json:"pad"`
}

const payloadSize = 200

var padding = strings.Repeat("millrace", payloadSize/8+1)

// newPayload returns the payload of a step of a run.
func newPayload(run, step int) payload {
	used := len(`{"run":,"step":,"pad":""}`) + len(strconv.Itoa(run)) + len(strconv.Itoa(step))
	return payload{Run: run, Step: step, Pad: padding[:payloadSize-used]}
}

// token is a short name that nobody else has.
func token() string { return strings.ToLower(rand.Text()[:10]) }
