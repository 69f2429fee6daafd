package cluster

import (
	"fmt"
	"strings"
)

const hostLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

// CheckHostName refuses a name that could mean something to a shell: names go into
// the command lines of sites.
func CheckHostName(name string) error {
	if name == "" || strings.HasPrefix(name, "-") || strings.Trim(name, hostLetters) != "" {
		return fmt.Errorf("%q is not a host name that a command may be given", name)
	}
	return nil
}

// ShortName is a host's name without its domain.
func ShortName(host string) string {
	name, _, _ := strings.Cut(host, ".")
	return name
}

// ForNode puts a node's name in the place of HOSTNAME_FQDN and HOSTNAME_SHORT in a
// site's command line.
func ForNode(line, node string) (string, error) {
	if err := CheckHostName(node); err != nil {
		return "", err
	}
	return strings.NewReplacer("HOSTNAME_FQDN", node, "HOSTNAME_SHORT", ShortName(node)).Replace(line), nil
}
