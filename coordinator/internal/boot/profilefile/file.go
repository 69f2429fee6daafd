package profilefile

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// Naming is how a node's profile file is called.
type Naming string

// The namings, as in the configuration.
const (
	IPHex         Naming = "ip_hex" // C0A80001
	IP            Naming = "ip"
	Hostname      Naming = "hostname"
	HostnameShort Naming = "hostname_short"
)

// FileName is the name of a node's profile file. With a VLAN a node has a
// second address, and needs a second file.
func (n Naming) FileName(node string, address netip.Addr) (string, error) {
	switch n {
	case IPHex:
		if !address.Is4() {
			return "", fmt.Errorf("profile of %s: the naming %s needs an IPv4 address, not %s", node, n, address)
		}
		return fmt.Sprintf("%X", address.As4()), nil
	case IP:
		if !address.IsValid() {
			return "", fmt.Errorf("profile of %s: the naming %s needs an address", node, n)
		}
		return address.String(), nil
	case Hostname, HostnameShort:
		name := node
		if n == HostnameShort {
			name, _, _ = strings.Cut(node, ".")
		}
		if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") {
			return "", fmt.Errorf("profile of %q: that is no host name", node)
		}
		return name, nil
	}
	return "", fmt.Errorf("unknown naming of profiles %q: ip_hex, ip, hostname and hostname_short are known", n)
}

// Write replaces a profile: a node that boots in that moment reads the old one
// or the new one, whole. The mode lets every TFTP server read it.
func Write(directory, name, profile string) (err error) {
	f, err := os.CreateTemp(directory, ".profile-*")
	if err != nil {
		return fmt.Errorf("write boot profile %s: %w", filepath.Join(directory, name), err)
	}
	_, err = f.WriteString(profile)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(directory, name))
	}
	if err != nil {
		return fmt.Errorf("write boot profile %s: %w", filepath.Join(directory, name), errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
