package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/pin/tftp/v3"
	"go.uber.org/goleak"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv6"

	"kadeploy/coordinator/internal/profile"
)

// site is what the service asks of others.
type site struct {
	profiles map[string]profile.Profile
	tokenErr error
	minted   []string
}

func (s *site) BootProfile(_ context.Context, node string) (profile.Profile, error) {
	p, ok := s.profiles[node]
	if !ok {
		return profile.Profile{}, fmt.Errorf("no profile of %s", node)
	}
	return p, nil
}

func (s *site) Mint(_ context.Context, node string) (string, error) {
	if s.tokenErr != nil {
		return "", s.tokenErr
	}
	s.minted = append(s.minted, node)
	return fmt.Sprintf("%04x", len(s.minted)), nil
}

// testConfig has a repository with a kernel, a loader, and traps for path traversal.
func testConfig(t *testing.T, s *site) Config {
	t.Helper()
	dir := t.TempDir()
	for _, sub := range []string{"repository/sub", "loaders", "users"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "secret"), "secret", 0o644)
	write(t, filepath.Join(dir, "repository/vmlinuz"), strings.Repeat("kernel", 5000), 0o644)
	write(t, filepath.Join(dir, "repository/sub/initrd"), "initrd", 0o644)
	write(t, filepath.Join(dir, "loaders/undionly.kpxe"), "loader", 0o644)
	write(t, filepath.Join(dir, "loaders/other.kpxe"), "not configured", 0o644)
	write(t, filepath.Join(dir, "snponly.efi"), "UEFI loader", 0o644)
	if err := os.Symlink("../snponly.efi", filepath.Join(dir, "loaders/snponly.efi")); err != nil { // as Debian does
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "users/pxe-bob--k"), "bob's", 0o644)
	write(t, filepath.Join(dir, "users/other"), "other", 0o644)
	write(t, filepath.Join(dir, "keys"), "key", 0o644)
	if err := os.Symlink("../secret", filepath.Join(dir, "repository/link")); err != nil {
		t.Fatal(err)
	}
	return Config{
		Interface: "srv0", Nodes: testNodes, Repository: filepath.Join(dir, "repository"), Loaders: filepath.Join(dir, "loaders"),
		UserFiles: filepath.Join(dir, "users"), Overlay: map[string]string{"/etc/keys": filepath.Join(dir, "keys")},
		Coordinator: "10.0.0.1:25301", Fingerprint: "abcd", Profiles: s, Tokens: s,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)), RouterAdvertisement: true,
	}
}

// start runs a service until the test ends, and then wants a clean stop.
func start(t *testing.T, cfg Config) *Service {
	t.Helper()
	svc, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- svc.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run = %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the service does not stop")
		}
	})
	return svc
}

// TestServiceOnASegment: a real DHCP client, TFTP, HTTP and ICMPv6 over a veth pair.
func TestServiceOnASegment(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	segment(t, testNodes[0].MAC)
	t.Cleanup(func() { goleak.VerifyNone(t) })
	s := &site{profiles: map[string]profile.Profile{"node-1.site.lab": {Kind: profile.MiniOS, Kernel: "vmlinuz", Initrd: "sub/initrd"}}}
	svc := start(t, testConfig(t, s))
	t.Run("dhcp", testLease)
	t.Run("dhcp of a stranger", testNoLease)
	t.Run("http", func(t *testing.T) { testHTTP(t, svc.URL()) })
	t.Run("script", func(t *testing.T) { testScriptByHTTP(t, svc.URL(), s) })
	t.Run("tftp", testTFTP)
	t.Run("router solicitation", testSolicitation)
	t.Run("ports taken", func(t *testing.T) { testPortsTaken(t, s) })
}

func dhcpClient(t *testing.T, hw string, timeout time.Duration) *nclient4.Client {
	t.Helper()
	c, err := nclient4.New("cli0", nclient4.WithHWAddr(mac(hw)), nclient4.WithTimeout(timeout), nclient4.WithRetry(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func testLease(t *testing.T) {
	c := dhcpClient(t, testNodes[0].MAC, 3*time.Second)
	lease, err := c.Request(t.Context(), dhcpv4.WithUserClass("iPXE", false))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{lease.ACK.YourIPAddr.String(), lease.ACK.HostName(), lease.ACK.BootFileNameOption()}
	want := []string{"10.0.0.11", "node-1.site.lab", "http://10.0.0.1:8069/boot.ipxe"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lease (-want +got):\n%s", diff)
	}
}

func testNoLease(t *testing.T) {
	c := dhcpClient(t, "52:54:00:00:00:77", 300*time.Millisecond)
	if offer, err := c.DiscoverOffer(t.Context()); err == nil {
		t.Errorf("a stranger was offered %s", offer.YourIPAddr)
	}
}

// as is an HTTP client with a source address.
func as(t *testing.T, source string) *http.Client {
	tr := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}}).DialContext}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 5 * time.Second}
}

// fetch returns status and body; header pairs follow the URL.
func fetch(t *testing.T, c *http.Client, method, url string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func testHTTP(t *testing.T, url string) {
	node, other := as(t, "10.0.0.11"), as(t, "10.0.0.1")
	kernel := strings.Repeat("kernel", 5000)
	for _, tc := range []struct {
		name   string
		client *http.Client
		method string
		path   string
		header []string
		status int
		body   string
	}{
		{"kernel", node, "GET", "/files/vmlinuz", nil, 200, kernel},
		{"in a directory", node, "GET", "/files/sub/initrd", nil, 200, "initrd"},
		{"HEAD", node, "HEAD", "/files/vmlinuz", nil, 200, ""},
		{"range", node, "GET", "/files/vmlinuz", []string{"Range", "bytes=6-11"}, 206, "kernel"},
		{"loader", node, "GET", "/loaders/undionly.kpxe", nil, 200, "loader"},
		{"loader behind a link", node, "GET", "/loaders/snponly.efi", nil, 200, "UEFI loader"},
		{"another file beside the loaders", node, "GET", "/loaders/other.kpxe", nil, 404, "404 page not found\n"},
		{"user's file", node, "GET", "/userfiles/pxe-bob--k", nil, 200, "bob's"},
		{"other file beside it", node, "GET", "/userfiles/other", nil, 404, "404 page not found\n"},
		{"no listing", node, "GET", "/files/", nil, 404, "404 page not found\n"},
		{"no listing of a directory", node, "GET", "/files/sub", nil, 404, "404 page not found\n"},
		{"nothing at the root", node, "GET", "/", nil, 404, "404 page not found\n"},
		{"link out of the repository", node, "GET", "/files/link", nil, 404, "404 page not found\n"},
		{"encoded dots", node, "GET", "/files/%2e%2e%2fsecret", nil, 404, "404 page not found\n"},
		{"no writing", node, "PUT", "/files/vmlinuz", nil, 405, "Method Not Allowed\n"},
		{"script for a stranger", other, "GET", "/boot.ipxe", nil, 403, "this address belongs to no node\n"},
		{"overlay for a stranger", other, "GET", "/overlay.cpio.gz", nil, 403, "this address belongs to no node\n"},
	} {
		status, body := fetch(t, tc.client, tc.method, url+tc.path, tc.header...)
		if status != tc.status || body != tc.body {
			t.Errorf("%s: %d %.60q, want %d %.60q", tc.name, status, body, tc.status, tc.body)
		}
	}
	if _, body := fetch(t, node, "GET", url+"/overlay.cpio.gz"); listing(t, []byte(body)) != "drwxr-xr-x etc\n-rw-r--r-- etc/keys key" {
		t.Errorf("overlay:\n%s", listing(t, []byte(body)))
	}
}

func testScriptByHTTP(t *testing.T, url string, s *site) {
	node := as(t, "10.0.0.11")
	get := func() string {
		t.Helper()
		status, body := fetch(t, node, "GET", url+"/boot.ipxe")
		if status != 200 || !strings.HasPrefix(body, "#!ipxe\n") {
			t.Errorf("script: %d %q", status, body)
		}
		return body
	}
	wants := func(script string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(script, p) {
				t.Errorf("no %q in the script:\n%s", p, script)
			}
		}
	}
	wants(get(), "kernel "+url+"/files/vmlinuz ", "kadeploy.node=node-1.site.lab", "kadeploy.token=0001 ", "initrd=overlay", url+"/overlay.cpio.gz")
	wants(get(), "kadeploy.token=0002 ")
	if status, _ := fetch(t, node, "HEAD", url+"/boot.ipxe"); status != 200 || len(s.minted) != 2 {
		t.Errorf("HEAD: status %d, %d tokens minted, want 2", status, len(s.minted))
	}
	s.tokenErr = errors.New("no workflow waits for it")
	wants(get(), "no token: no workflow waits for it", "chain --replace "+url+"/boot.ipxe")
	s.profiles["node-1.site.lab"] = profile.Profile{Kind: profile.Local}
	wants(get(), "sanboot --no-describe --drive 0x80")
	s.profiles["node-1.site.lab"] = profile.Profile{Kind: profile.Custom, Script: "#!ipxe\nchain FILES_PREFIX--k\n", User: "bob"}
	wants(get(), "chain "+url+"/userfiles/pxe-bob--k")
	s.profiles["node-1.site.lab"] = profile.Profile{Kind: "strange"}
	wants(get(), "unknown kind strange")
	delete(s.profiles, "node-1.site.lab")
	wants(get(), "boot profile cannot be read: no profile of node-1.site.lab")
}

func testTFTP(t *testing.T) {
	get := func(name string) (string, error) {
		c, err := tftp.NewClient("10.0.0.1:69")
		if err != nil {
			t.Fatal(err)
		}
		c.SetTimeout(2 * time.Second)
		c.SetBlockSize(1400)
		from, err := c.Receive(name, "octet")
		if err != nil {
			return "", err
		}
		var b bytes.Buffer
		_, err = from.WriteTo(&b)
		return b.String(), err
	}
	for name, want := range map[string]string{
		"undionly.kpxe": "loader", "snponly.efi": "UEFI loader", "/undionly.kpxe": "loader", `\undionly.kpxe`: "loader",
		"vmlinuz": strings.Repeat("kernel", 5000), "sub/initrd": "initrd", "../loaders/../vmlinuz": strings.Repeat("kernel", 5000),
	} {
		if got, err := get(name); err != nil || got != want {
			t.Errorf("%q: %.40q, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "/", "sub", "nothing", "link", "other.kpxe", "../secret", "../../../../etc/passwd", `..\secret`} {
		if got, err := get(name); err == nil {
			t.Errorf("%q was served: %.40q", name, got)
		}
	}
	c, err := tftp.NewClient("10.0.0.1:69")
	if err != nil {
		t.Fatal(err)
	}
	c.SetTimeout(2 * time.Second)
	if to, err := c.Send("vmlinuz", "octet"); err == nil {
		if _, err = to.ReadFrom(strings.NewReader("x")); err == nil {
			t.Error("a file was written")
		}
	}
}

// testSolicitation asks for routers as firmware does, and wants an answer that tells nothing.
func testSolicitation(t *testing.T) {
	ifi, err := net.InterfaceByName("cli0")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := ipv6.NewPacketConn(raw)
	if err := errors.Join(conn.SetMulticastHopLimit(255), conn.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagInterface, true)); err != nil {
		t.Fatal(err)
	}
	ask, err := (&icmp.Message{Type: ipv6.ICMPTypeRouterSolicitation, Body: &icmp.RawBody{Data: make([]byte, 4)}}).Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		// Until duplicate address detection is over, the kernel refuses to send.
		_, _ = conn.WriteTo(ask, &ipv6.ControlMessage{IfIndex: ifi.Index}, &net.IPAddr{IP: net.IPv6linklocalallrouters})
		conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for {
			n, cm, _, err := conn.ReadFrom(buf)
			if err != nil {
				break
			}
			if buf[0] != byte(134) || cm.IfIndex != ifi.Index {
				continue
			}
			if cm.HopLimit != 255 {
				t.Errorf("hop limit %d: receivers would drop it", cm.HopLimit)
			}
			if want := make([]byte, 12); !bytes.Equal(buf[4:n], want) {
				t.Errorf("advertisement %x, want %x", buf[4:n], want)
			}
			return
		}
	}
	t.Error("no router advertisement")
}

func testPortsTaken(t *testing.T, s *site) {
	for _, tc := range []struct {
		change func(*Config)
		want   []string
	}{
		{func(*Config) {}, []string{"HTTP server on TCP port 8069 of 10.0.0.1", "address already in use", "ss -lnp"}},
		{func(c *Config) { c.HTTPPort = 8070 }, []string{"DHCP server on UDP port 67", "address already in use", "ss -lnp"}},
		{func(c *Config) { c.HTTPPort, c.NoDHCP = 8070, true }, []string{"TFTP server on UDP port 69", "address already in use"}},
		{func(c *Config) { c.Address = netip.MustParsePrefix("10.0.0.77/24") }, []string{"no interface has that address"}},
		{func(c *Config) { c.Interface = "none0" }, []string{`interface "none0"`}},
	} {
		cfg := testConfig(t, s)
		tc.change(&cfg)
		svc, err := New(cfg)
		if err == nil {
			svc.Close()
			t.Errorf("New succeeded; want an error with %q", tc.want)
			continue
		}
		for _, part := range tc.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("New = %q, lacks %q", err, part)
			}
		}
	}
	// What a failed New had opened is free again.
	cfg := testConfig(t, s)
	cfg.HTTPPort, cfg.TFTPPort, cfg.NoDHCP = 8071, 6969, true
	for range 2 {
		svc, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := svc.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	s := &site{}
	full := Config{Address: netip.MustParsePrefix("127.0.0.1/8"), Repository: t.TempDir(), Loaders: t.TempDir(), Coordinator: "h:1", Fingerprint: "f",
		Profiles: s, Tokens: s, NoDHCP: true, NoTFTP: true, HTTPPort: 20000 + rand.IntN(10000)}
	for want, change := range map[string]func(*Config){
		"no source of profiles":      func(c *Config) { c.Profiles = nil },
		"no repository":              func(c *Config) { c.Repository = "" },
		"must each be one word":      func(c *Config) { c.Coordinator = "h:1 init=/bin/sh" },
		"repository of mini-OS":      func(c *Config) { c.Repository = "/nowhere" },
		"Debian package ipxe":        func(c *Config) { c.Loaders = "/nowhere" },
		"is not IPv4":                func(c *Config) { c.Address = netip.MustParsePrefix("::1/128") },
		"overlay: /etc/x":            func(c *Config) { c.Overlay = map[string]string{"/etc/x": "/nowhere"} },
		"directory of users' boot f": func(c *Config) { c.UserFiles = "/nowhere" },
	} {
		cfg := full
		change(&cfg)
		if svc, err := New(cfg); err == nil {
			svc.Close()
			t.Errorf("no error with %q", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("New = %q, lacks %q", err, want)
		}
	}
}
