package kascade

import (
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// lineSpeed is how many bytes per second the interface with this address carries, as the
// system says; infinite if it does not.
func lineSpeed(address string) float64 {
	if at, err := interfaceOf(address); err == nil {
		if speed, err := speedIn("/sys/class/net", at); err == nil {
			return speed
		}
	}
	return math.Inf(1)
}

// interfaceOf is the interface that has an address.
func interfaceOf(address string) (*net.Interface, error) {
	host, _, _ := strings.Cut(address, "%")
	want := net.ParseIP(host)
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			if n, ok := a.(*net.IPNet); ok && want != nil && n.IP.Equal(want) {
				return &i, nil
			}
		}
	}
	return nil, fmt.Errorf("no interface has the address %s", address)
}

// speedIn reads the speed of an interface from sysfs, in Mb/s there. The directory may be
// that of another network namespace, where the name means something else.
func speedIn(dir string, at *net.Interface) (float64, error) {
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, at.Name, name))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	if read("ifindex") != strconv.Itoa(at.Index) || read("address") != at.HardwareAddr.String() {
		return 0, fmt.Errorf("%s is another interface than %s", filepath.Join(dir, at.Name), at.Name)
	}
	speed, err := strconv.ParseUint(read("speed"), 10, 32)
	if err != nil || speed == 0 {
		return 0, fmt.Errorf("%s does not tell its speed", at.Name)
	}
	return float64(speed) * 1e6 / 8, nil
}
