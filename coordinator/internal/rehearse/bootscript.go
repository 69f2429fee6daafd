package rehearse

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// maxScript bounds a boot script, in bytes.
const maxScript = 64 << 10

// bootArguments is what the mini-OS's agent needs of its kernel's command line.
type bootArguments struct {
	coordinator, node, token, fingerprint string
}

// fetchScript asks the boot service what to boot, from the machine's own address.
func fetchScript(ctx context.Context, url string, from netip.Addr) (string, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from.AsSlice()}}
	transport := &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/boot.ipxe", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxScript))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the boot service answers %s", resp.Status)
	}
	return string(text), err
}

// readScript finds in a boot script what it boots: the mini-OS with these arguments
// (mini), the machine's disk (local), or neither: then the script tells a problem.
func readScript(script string) (args bootArguments, mini, local bool) {
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "kernel":
			args = readArguments(words[1:])
			return args, args.coordinator != "" && args.token != "", false
		case "sanboot", "exit":
			return args, false, true
		case "chain":
			return args, false, false
		}
	}
	return args, false, false
}

func readArguments(words []string) (a bootArguments) {
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "kadeploy.coordinator":
			a.coordinator = value
		case "kadeploy.node":
			a.node = value
		case "kadeploy.token":
			a.token = value
		case "kadeploy.fingerprint":
			a.fingerprint = value
		}
	}
	return a
}
