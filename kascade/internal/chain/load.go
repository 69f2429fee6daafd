package chain

import "time"

// memory is over about what time the shares of a load are taken.
const memory = 600 * time.Millisecond

// load is what a node did with its time lately. Shares are of 1.
type load struct {
	from        time.Duration // when it was attached
	begun, last time.Duration // since when it is measured, and the last measurement; 0: never

	rate    float64 // bytes per second received
	peak    float64 // the highest rate of one period, ever
	starved float64 // waited for its previous; for the head: for its source
	blocked float64 // a reader took nothing; beside the others
	noRoom  float64 // waited for room in the window
	sink    float64 // was in the sink's Write
	verify  float64 // hashed
	// sinkRate is what its sink took in a second of writing; 0: not known.
	sinkRate float64
}

// add takes one period in which bytes were received.
func (l *load) add(now time.Duration, bytes int64, t Times) {
	if l.begun == 0 {
		l.begun = now
	}
	l.last = now
	if t.Period <= 0 {
		return
	}
	weight := min(1, float64(t.Period)/float64(memory))
	mix := func(old *float64, sample float64) { *old += (sample - *old) * weight }
	share := func(d time.Duration) float64 { return min(1, float64(d)/float64(t.Period)) }
	rate := float64(bytes) / t.Period.Seconds()
	mix(&l.rate, rate)
	mix(&l.starved, share(t.Starved))
	mix(&l.blocked, share(t.Blocked))
	mix(&l.noRoom, share(t.NoRoom))
	mix(&l.sink, share(t.Sink))
	mix(&l.verify, share(t.Verify))
	if flowed := min(t.Period, now-l.from); flowed >= period/2 {
		l.peak = max(l.peak, float64(bytes)/flowed.Seconds())
	}
	if t.SinkRate > 0 {
		if l.sinkRate == 0 {
			l.sinkRate = float64(t.SinkRate)
		}
		mix(&l.sinkRate, float64(t.SinkRate))
	}
}

// reset forgets what depends on the node's previous.
func (l *load) reset(now time.Duration) {
	*l = load{from: now, peak: l.peak, sinkRate: l.sinkRate}
}

// known tells whether it was measured for long enough, and not long ago.
func (l *load) known(now time.Duration) bool {
	return l.begun > 0 && l.last-l.begun >= memory && now-l.last < memory
}

// waiting is the share of time in which the node had nothing to do.
func (l *load) waiting() float64 { return min(1, l.starved+l.noRoom) }
