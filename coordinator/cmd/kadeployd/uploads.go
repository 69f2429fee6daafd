package main

import (
	"kadeploy/coordinator/internal/api"
	"kadeploy/coordinator/internal/boot/userfile"
	"kadeploy/coordinator/internal/config"
)

// bootWriters is how many users' boot files are written at once where the configuration does not say.
const bootWriters = 10

// uploads is the directory of files that go with users' boot profiles: that of
// whoever serves them. It is nil if there is none.
func uploads(server *config.Server) (*userfile.Shelf, error) {
	switch {
	case server.Boot != nil && server.Boot.UserFiles != "":
		return userfile.New(server.Boot.UserFiles, server.Boot.UserFilesMax, bootWriters)
	case server.Boot == nil && server.PXE != nil:
		p := server.PXE.DHCP
		return userfile.New(p.UserFiles, p.UserFilesMax, p.UserFilesConcurrent)
	}
	return nil, nil
}

// bootFiles keeps a missing directory from being one that is there.
func bootFiles(s *userfile.Shelf) api.BootFiles {
	if s == nil {
		return nil
	}
	return s
}

// bootMethod is how boot profiles of users' own are written.
func bootMethod(server *config.Server) string {
	if server.Boot == nil && server.PXE != nil {
		return server.PXE.DHCP.Method
	}
	return "IPXE"
}
