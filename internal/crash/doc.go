// Package crash kills processes that work, at random moments, and verifies
// what is left. It holds tests only.
package crash
