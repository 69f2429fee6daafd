package main

import (
	"cmp"
	"fmt"
	"os"
	"os/user"
	"path/filepath"

	"kadeploy/coordinator/internal/config"
)

// labPlaces is where the built-in lab keeps its things: root's where a service
// keeps them, another user's in his home.
func labPlaces() (dir string, lab config.Lab, err error) {
	who, err := user.Current()
	if err != nil {
		return "", lab, fmt.Errorf("the built-in lab: %w", err)
	}
	lab.State, lab.Socket, lab.Admins = "/var/lib/kadeploy/lab", defaultSocket, "root"
	if os.Geteuid() != 0 {
		lab.State = filepath.Join(cmp.Or(os.Getenv("XDG_STATE_HOME"), filepath.Join(who.HomeDir, ".local/state")), "kadeploy/lab")
		lab.Socket = filepath.Join(cmp.Or(os.Getenv("XDG_RUNTIME_DIR"), lab.State), "kadeployd.sock")
		lab.Admins = "root," + who.Username
	}
	return filepath.Join(lab.State, "conf"), lab, nil
}

// lab is the configuration of the built-in lab, which is used when nobody named a
// directory and the usual one has no configuration.
func (o *options) lab() (*config.Config, error) {
	dir, lab, err := labPlaces()
	if err != nil {
		return nil, err
	}
	if err := config.WriteLab(dir, lab); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "kadeployd: no configuration in %s: serving the built-in lab of three nodes that exist only on paper; deployments are rehearsed.\n", o.directory)
	fmt.Fprintf(os.Stderr, "kadeployd: its files are in %s: copy them to %s for a site of your own.\n", dir, o.directory)
	if lab.Socket != defaultSocket {
		fmt.Fprintf(os.Stderr, "kadeployd: to use it: export KADEPLOY_SOCKET=%s\n", lab.Socket)
	}
	return config.Load(dir)
}
