// Package stats says what is kept of operations that are over, how it is asked
// for and shown, and what is reckoned from it: failure rates, summaries over a
// period, the time that a step may be expected to take. It reads and writes no
// files and no database.
package stats
