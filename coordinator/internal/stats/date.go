package stats

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// dateForms are how a moment may be written. Those without a zone are local;
// those without a date are today's.
var dateForms = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05",
	"2006-01-02T15:04",
	"2006-01-02 15:04:05 -0700",
	"2006-01-02 15:04:05 MST",
	"2006-01-02 15:04:05",
	"2006-01-02 15:04",
	"2006-01-02",
	"2006/01/02 15:04:05",
	"2006/01/02 15:04",
	"2006/01/02",
	"2006:01:02:15:04:05",
	"20060102150405",
	"20060102T150405",
	"20060102",
	time.RFC1123Z,
	time.RFC1123,
	time.RFC850,
	time.ANSIC,
	time.UnixDate,
	time.RubyDate,
	"2 Jan 2006 15:04:05",
	"2 Jan 2006 15:04",
	"2 Jan 2006",
	"Jan 2 2006",
	"Jan 2, 2006",
	"2 January 2006",
	"January 2 2006",
	"January 2, 2006",
}

var clockForms = []string{"15:04:05", "15:04"}

// maxYear: beyond it a moment is a mistake, and does not fit everywhere.
const maxYear = 9999

// ParseDate reads a moment: seconds since 1970, one of many written forms, "now",
// "today", "yesterday", or how long ago as 90m, 36h, 30d, 2w. now gives the zone, too.
func ParseDate(text string, now time.Time) (time.Time, error) {
	text = strings.Join(strings.Fields(text), " ")
	wrong := fmt.Errorf("%q is not a time that is understood; write it as 2026-01-31, as 2026-01-31 15:04:05, or as 30d for thirty days ago", text)
	t, ok := absolute(text, now)
	if !ok {
		t, ok = relative(text, now)
	}
	if !ok || t.Year() < 1 || t.Year() > maxYear {
		return time.Time{}, wrong
	}
	return t, nil
}

func absolute(text string, now time.Time) (time.Time, bool) {
	for _, form := range dateForms {
		if t, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			return t, true
		}
	}
	for _, form := range clockForms {
		if t, err := time.ParseInLocation(form, text, now.Location()); err == nil {
			y, m, d := now.Date()
			return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location()), true
		}
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil && s >= 0 && s < 1e12 && isDecimal(text) {
		whole, fraction := math.Modf(s)
		return time.Unix(int64(whole), int64(fraction*1e9)).In(now.Location()), true
	}
	return time.Time{}, false
}

// isDecimal: strconv also takes 0x1p3, 1_000 and Inf for numbers.
func isDecimal(text string) bool { return strings.Trim(text, "0123456789.") == "" }

func relative(text string, now time.Time) (time.Time, bool) {
	y, m, d := now.Date()
	today := time.Date(y, m, d, 0, 0, 0, 0, now.Location())
	switch text {
	case "now":
		return now, true
	case "today":
		return today, true
	case "yesterday":
		return today.AddDate(0, 0, -1), true
	}
	text = strings.TrimPrefix(strings.TrimSuffix(text, " ago"), "-")
	if text == "" {
		return time.Time{}, false
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 16)
	if err != nil {
		return time.Time{}, false
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	unit, ok := units[text[len(text)-1]]
	if !ok {
		return time.Time{}, false
	}
	switch unit {
	case units['d']:
		return now.AddDate(0, 0, -int(n)), true
	case units['w']:
		return now.AddDate(0, 0, -7*int(n)), true
	}
	return now.Add(-time.Duration(n) * unit), true
}
