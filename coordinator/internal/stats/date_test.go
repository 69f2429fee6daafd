package stats

import (
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	now := time.Date(2026, 3, 10, 15, 30, 0, 0, zone)
	at := func(y, mo, d, h, mi, s int) time.Time { return time.Date(y, time.Month(mo), d, h, mi, s, 0, zone) }
	for text, want := range map[string]time.Time{
		"2026-01-31":                      at(2026, 1, 31, 0, 0, 0),
		"2026-01-31 15:04":                at(2026, 1, 31, 15, 4, 0),
		"  2026-01-31   15:04:05 ":        at(2026, 1, 31, 15, 4, 5),
		"2026-01-31T15:04:05":             at(2026, 1, 31, 15, 4, 5),
		"2026-01-31T15:04:05Z":            at(2026, 1, 31, 16, 4, 5),
		"2026-01-31T15:04:05+03:00":       at(2026, 1, 31, 13, 4, 5),
		"2026-01-31 15:04:05 +0200":       at(2026, 1, 31, 14, 4, 5),
		"2026/01/31":                      at(2026, 1, 31, 0, 0, 0),
		"2026:01:31:15:04:05":             at(2026, 1, 31, 15, 4, 5),
		"20260131":                        at(2026, 1, 31, 0, 0, 0),
		"31 Jan 2026":                     at(2026, 1, 31, 0, 0, 0),
		"Jan 31, 2026":                    at(2026, 1, 31, 0, 0, 0),
		"Sat, 31 Jan 2026 15:04:05 +0100": at(2026, 1, 31, 15, 4, 5),
		"Sat Jan 31 15:04:05 2026":        at(2026, 1, 31, 15, 4, 5),
		"1769868245":                      time.Unix(1769868245, 0),
		"1769868245.5":                    time.Unix(1769868245, 5e8),
		"0":                               time.Unix(0, 0),
		"09:15":                           at(2026, 3, 10, 9, 15, 0),
		"now":                             now,
		"today":                           at(2026, 3, 10, 0, 0, 0),
		"yesterday":                       at(2026, 3, 9, 0, 0, 0),
		"90m":                             at(2026, 3, 10, 14, 0, 0),
		"36h ago":                         at(2026, 3, 9, 3, 30, 0),
		"-2d":                             at(2026, 3, 8, 15, 30, 0),
		"1w":                              at(2026, 3, 3, 15, 30, 0),
	} {
		if got, err := ParseDate(text, now); err != nil || !got.Equal(want) {
			t.Errorf("ParseDate(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ", "tomorrow", "2026-13-01", "2026-02-30", "-", "d", "-1769868245", "1e9", "0x10", "Inf", "NaN", "1_000", "99999999d", "5y", "1769868245000000000", "é"} {
		if got, err := ParseDate(text, now); err == nil {
			t.Errorf("ParseDate(%q) = %v, want an error", text, got)
		}
	}
}

func FuzzParseDate(f *testing.F) {
	for _, text := range append([]string{"now", "3d", "1769868245.5", "2026:01:31:15:04:05"}, dateForms...) {
		f.Add(text)
	}
	now := time.Date(2026, 3, 10, 15, 30, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseDate(text, now)
		if err != nil {
			return
		}
		// What is understood can be written, and read again.
		again, err := ParseDate(got.Format(time.RFC3339Nano), now)
		if err != nil || !again.Equal(got) {
			t.Errorf("ParseDate(%q) = %v; written and read again: %v, %v", text, got, again, err)
		}
	})
}
