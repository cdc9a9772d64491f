package client

import (
	"math/rand/v2"
	"time"
)

// A Retry is what a Policy decides on.
type Retry struct {
	Attempts int           // made since the connection was lost
	Elapsed  time.Duration // since it was lost
	// Err is why it was lost (nil: in good order), or why the last attempt
	// failed.
	Err error
}

// A Policy says how long to wait before the next attempt to connect, or, with
// again false, that there is none. A policy that panics says no.
//
//	// As fast as a second and as slow as a minute, for ever.
//	func(r client.Retry) (time.Duration, bool) {
//		return rand.N(min(time.Second<<min(r.Attempts, 10), time.Minute)), true
//	}
type Policy func(r Retry) (wait time.Duration, again bool)

// Delays is a policy of one attempt for each delay. Each delay is up to a half
// longer or shorter, so that a crowd of clients does not come back at once.
// Without arguments the delays are 0, 2, 10 and 30 s, as in the official
// clients.
func Delays(delays ...time.Duration) Policy {
	if len(delays) == 0 {
		delays = []time.Duration{0, 2 * time.Second, 10 * time.Second, 30 * time.Second}
	}
	return func(r Retry) (time.Duration, bool) {
		if r.Attempts >= len(delays) {
			return 0, false
		}
		return jitter(delays[r.Attempts]), true
	}
}

func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return d/2 + rand.N(d)
}
