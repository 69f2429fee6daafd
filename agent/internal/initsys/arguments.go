package initsys

import (
	"strconv"
	"strings"
	"time"
)

// Arguments are the kernel arguments that concern the mini-OS (contract, section 9, and docs/architecture.md).
type Arguments struct {
	Node        string // kadeploy.node: the name of this node, whatever DHCP says
	Coordinator string // kadeploy.coordinator: HOST:PORT to dial; empty: stand alone
	Token       string // kadeploy.token
	Fingerprint string // kadeploy.fingerprint

	Interface   string        // ETH_DEV: network interface to use
	BootMAC     string        // BOOTIF: hardware address of the interface that booted, aa:bb:...
	LinkTimeout time.Duration // LINK_UP_TOUT, in seconds
	Disk        string        // DISK_DEV: disk without which the node is of no use, sda or /dev/sda
	DiskTimeout time.Duration // DISK_TOUT, in seconds
	NTP         string        // NTP: time server
	Debug       string        // DEBUG: shell command, with _ for each space
}

// ParseArguments reads the content of /proc/cmdline. What it does not know it ignores; the last of several wins.
func ParseArguments(line string) Arguments {
	a := Arguments{LinkTimeout: 60 * time.Second, DiskTimeout: 5 * time.Second}
	for _, word := range splitArguments(line) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "kadeploy.node":
			a.Node = value
		case "kadeploy.coordinator":
			a.Coordinator = value
		case "kadeploy.token":
			a.Token = value
		case "kadeploy.fingerprint":
			a.Fingerprint = value
		case "ETH_DEV":
			a.Interface = value
		case "BOOTIF":
			a.BootMAC = bootMAC(value)
		case "LINK_UP_TOUT":
			a.LinkTimeout = seconds(value, a.LinkTimeout)
		case "DISK_DEV":
			a.Disk = value
		case "DISK_TOUT":
			a.DiskTimeout = seconds(value, a.DiskTimeout)
		case "NTP":
			a.NTP = value
		case "DEBUG":
			a.Debug = strings.ReplaceAll(value, "_", " ")
		}
	}
	return a
}

// splitArguments splits at blanks outside of double quotes, which are dropped, as the kernel does (lib/cmdline.c).
func splitArguments(line string) []string {
	var words []string
	var word strings.Builder
	quoted, some := false, false
	for _, r := range line {
		switch {
		case r == '"':
			quoted, some = !quoted, true
		case !quoted && (r == ' ' || r == '\t' || r == '\n'):
			if some {
				words = append(words, word.String())
				word.Reset()
				some = false
			}
		default:
			word.WriteRune(r)
			some = true
		}
	}
	if some {
		words = append(words, word.String())
	}
	return words
}

// bootMAC turns PXELINUX's 01-aa-bb-cc-dd-ee-ff (hardware type first) or a plain address into aa:bb:cc:dd:ee:ff.
func bootMAC(value string) string {
	fields := strings.FieldsFunc(strings.ToLower(value), func(r rune) bool { return r == '-' || r == ':' })
	if len(fields) == 7 {
		fields = fields[1:]
	}
	if len(fields) != 6 {
		return ""
	}
	return strings.Join(fields, ":")
}

func seconds(value string, otherwise time.Duration) time.Duration {
	n, err := strconv.ParseUint(value, 10, 20)
	if err != nil {
		return otherwise
	}
	return time.Duration(n) * time.Second
}
