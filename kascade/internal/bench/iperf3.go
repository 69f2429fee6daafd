package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// hop is one measurement of iperf3 from the head's place to the first node's.
type hop struct {
	Rate float64       // bytes per second, as the receiver saw it
	CPU  time.Duration // of both ends, for Size bytes
	Size int64
}

// HasIperf tells whether iperf3 is installed.
func HasIperf() bool {
	_, err := exec.LookPath("iperf3")
	return err == nil
}

const iperfPort = "5201"

// iperf measures one hop: as many bytes as a shaped case has, so that the bursts that its
// cables let through count alike.
func iperf(ctx context.Context, net network, c *Case) (*hop, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	to := 1 // the first node whose cable is like the others'
	for c.SlowLinks[to] > 0 && to < c.Nodes {
		to++
	}
	address := net.address(to)
	server := exec.CommandContext(ctx, "iperf3", "-s", "-1", "--forceflush", "-B", address.String(), "-p", iperfPort)
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := net.start(to, server); err != nil {
		return nil, fmt.Errorf("iperf3 server: %w", err)
	}
	defer server.Wait()
	defer server.Process.Kill()
	if err := listening(out); err != nil {
		return nil, err
	}
	client := exec.CommandContext(ctx, "iperf3", iperfClient(net.address(0), address, c)...)
	var said, errs bytes.Buffer
	client.Stdout, client.Stderr = &said, &errs
	if err := net.start(0, client); err != nil {
		return nil, fmt.Errorf("iperf3 client: %w", err)
	}
	werr := client.Wait()
	h, err := parseIperf(said.Bytes())
	if err != nil {
		return nil, errors.Join(err, werr, errors.New(errs.String()))
	}
	if err := server.Wait(); err != nil {
		return nil, fmt.Errorf("iperf3 server: %w", err)
	}
	h.CPU = cpuTime(client) + cpuTime(server)
	return h, nil
}

// iperfTime is how long iperf3 sends where nothing limits it: a case's size would be there too
// soon for a steady figure.
const iperfTime = 2 * time.Second

func iperfClient(from, to netip.Addr, c *Case) []string {
	args := []string{"-c", to.String(), "-B", from.String(), "-p", iperfPort, "-C", "cubic", "-J"}
	if c.Rate == 0 {
		return append(args, "-t", strconv.Itoa(int(iperfTime.Seconds())))
	}
	return append(args, "-n", strconv.FormatInt(c.Size, 10))
}

// listening waits until the server says that it is.
func listening(out interface{ Read([]byte) (int, error) }) error {
	s := bufio.NewScanner(out)
	var said []string
	for s.Scan() {
		if strings.Contains(s.Text(), "listening") {
			go func() { // its pipe must not fill up
				for s.Scan() {
				}
			}()
			return nil
		}
		said = append(said, s.Text())
	}
	return fmt.Errorf("the iperf3 server does not listen: %s", strings.Join(said, "; "))
}

// parseIperf reads what iperf3 -J prints at its end.
func parseIperf(b []byte) (*hop, error) {
	var report struct {
		Error string
		End   struct {
			Received struct {
				Bytes   int64
				Seconds float64
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(b, &report); err != nil {
		return nil, fmt.Errorf("iperf3 printed no JSON: %w", err)
	}
	if report.Error != "" {
		return nil, fmt.Errorf("iperf3: %s", report.Error)
	}
	r := report.End.Received
	if r.Bytes <= 0 || r.Seconds <= 0 {
		return nil, errors.New("iperf3 does not say how many bytes were received in which time")
	}
	return &hop{Rate: float64(r.Bytes) / r.Seconds, Size: r.Bytes}, nil
}
