package initsys

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// ntpEpoch is 1900-01-01 in Unix seconds; era 0 of NTP ends in 2036, when the 32 bits begin again (RFC 4330, section 3).
const ntpEpoch = -2208988800

// setClock asks a time server once (SNTP, RFC 4330) and sets the clock. An empty server is none.
func setClock(ctx context.Context, server string) error {
	if server == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	dialer := net.Dialer{}
	conn, err := dialer.DialContext(ctx, "udp", net.JoinHostPort(server, "123"))
	if err != nil {
		return fmt.Errorf("ask %s for the time: %w", server, err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	request := make([]byte, 48)
	request[0] = 4<<3 | 3 // version 4, client
	if _, err := conn.Write(request); err != nil {
		return fmt.Errorf("ask %s for the time: %w", server, err)
	}
	answer := make([]byte, 48)
	n, err := conn.Read(answer)
	if err != nil {
		return fmt.Errorf("ask %s for the time: %w", server, errors.Join(err, context.Cause(ctx)))
	}
	now, err := parseTime(answer[:n])
	if err != nil {
		return fmt.Errorf("time from %s: %w", server, err)
	}
	ts := unix.NsecToTimespec(now.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// parseTime reads the transmit timestamp of a server's answer.
func parseTime(answer []byte) (time.Time, error) {
	if len(answer) < 48 {
		return time.Time{}, fmt.Errorf("answer of %d bytes, want 48", len(answer))
	}
	if mode, stratum := answer[0]&7, answer[1]; mode != 4 || stratum == 0 || stratum > 15 {
		return time.Time{}, fmt.Errorf("not a usable answer (mode %d, stratum %d)", mode, stratum)
	}
	seconds := int64(binary.BigEndian.Uint32(answer[40:]))
	if seconds < 1<<31 { // era 1
		seconds += 1 << 32
	}
	fraction := int64(binary.BigEndian.Uint32(answer[44:]))
	return time.Unix(ntpEpoch+seconds, fraction*1e9>>32), nil
}
