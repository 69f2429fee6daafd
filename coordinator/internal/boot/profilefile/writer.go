package profilefile

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// Place is one way to boot, and where its profiles are.
type Place struct {
	Method    Method
	Export    Export
	Directory string // of the profiles
	Naming    Naming
	Binary    string // in the repository: the boot loader itself, if another one starts first
}

// Headers are lines of the site's on top of the profiles.
type Headers struct{ DHCP, Network, Local string }

// Writer writes the profiles of nodes. The boot server starts the loader of
// DHCP; where Network or Local is another one, its profile hands over to it.
type Writer struct {
	DHCP, Network, Local Place
	UserFiles            string // directory of users' files, below the repository
}

// Machine is the node that a profile is for.
type Machine struct {
	Name      string
	Addresses []netip.Addr // one profile for each; empty: by its name
	Headers   Headers
}

// ToNetwork has a node boot a kernel of the repository.
func (w *Writer) ToNetwork(m Machine, p Network) error {
	p.Header = m.Headers.Network
	text, err := w.Network.Method.Network(w.Network.Export, p)
	return w.hand(m, w.Network, text, err)
}

// ToLocal has a node boot its disk.
func (w *Writer) ToLocal(m Machine, p Local) error {
	p.Header = m.Headers.Local
	text, err := w.Local.Method.Local(w.Local.Export, p)
	return w.hand(m, w.Local, text, err)
}

// ToCustom has a node boot a user's profile, as it is but for its patterns.
func (w *Writer) ToCustom(m Machine, profile, singularity, user string) error {
	prefix, err := w.DHCP.Method.FilesPrefix(w.DHCP.Export, w.UserFiles, user)
	if err != nil {
		return fmt.Errorf("boot profile of %s: %w", m.Name, err)
	}
	return w.DHCP.put(m, Custom(profile, singularity, prefix))
}

// hand writes a profile where its own loader looks, and before that, if the boot
// server starts another loader, that one's which hands over.
func (w *Writer) hand(m Machine, to Place, text string, err error) error {
	if err != nil {
		return fmt.Errorf("boot profile of %s: %w", m.Name, err)
	}
	if to.Method != w.DHCP.Method {
		chain, err := w.DHCP.Method.Chain(w.DHCP.Export, m.Headers.DHCP, to.Binary)
		if err == nil {
			err = w.DHCP.put(m, chain)
		}
		if err != nil {
			return fmt.Errorf("boot profile of %s: %w", m.Name, err)
		}
	}
	return to.put(m, text)
}

// put writes a profile for each address of a node. What it has put is whole; an error
// leaves the older profile of the address that it names.
func (p Place) put(m Machine, text string) error {
	addresses := m.Addresses
	if len(addresses) == 0 {
		addresses = []netip.Addr{{}}
	}
	var errs []error
	for _, address := range addresses {
		name, err := p.Naming.FileName(m.Name, address)
		if err == nil {
			err = Write(p.Directory, name, text)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Check tells whether the profiles can be written, before a node depends on it.
func (w *Writer) Check() error {
	var errs []error
	for _, p := range []Place{w.DHCP, w.Network, w.Local} {
		if info, err := os.Stat(p.Directory); err != nil {
			errs = append(errs, fmt.Errorf("directory of boot profiles: %w: create it, or correct pxe/.../profiles/directory", err))
		} else if !info.IsDir() {
			errs = append(errs, fmt.Errorf("directory of boot profiles: %s is a file", p.Directory))
		}
	}
	if filepath.IsAbs(w.UserFiles) || strings.HasPrefix(w.UserFiles, "..") {
		errs = append(errs, fmt.Errorf("directory of users' files: %s must lie in the repository, where boot loaders find it", w.UserFiles))
	}
	return errors.Join(errs...)
}
