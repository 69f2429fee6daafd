package config

import (
	"net/netip"
	"time"
)

// Server is server.conf.
type Server struct {
	Hostname      string // name or address at which clients reach the server
	Ports         Ports
	Agents        Agents
	Database      Database
	API           API
	Boot          *Boot  // nil: the coordinator answers no booting machines
	PXE           *PXE   // nil: no profiles are written for another boot server
	DeploymentKey string // public key that may log in to the mini-OS; "": none
	SSHPrivateKey string // used for systems that are not the mini-OS
	Rights        Rights
	Kascade       Kascade

	Authentication Authentication
	Security       Security
	Logs           Logs
	Verbosity      Verbosity
	Cache          Cache
	VLAN           VLAN
	Windows        Windows
	Environments   Environments
	Hooks          Hooks
	Metrics        Metrics
	Autoclean      time.Duration // finished workflows are forgotten this long after their start
	Mkfs           map[string]string
}

// Metrics are what Prometheus reads at /metrics of the REST interface.
type Metrics struct {
	Enabled   bool
	Whitelist []string // who may read them over TCP, as in Authentication
}

// Ports are TCP ports.
type Ports struct {
	Server int // the REST API
	MiniOS int // open on a node only while it runs the mini-OS
	SSH    int
}

// Agents is where nodes' agents dial to.
type Agents struct {
	Address string // host or address that nodes can reach; "": the boot service's, else Hostname
	Port    int
}

// Database says where data are kept.
type Database struct {
	Kind string // sqlite
	File string
}

// API is where local clients connect.
type API struct {
	Socket string // Unix socket; "": none
}

// Boot is the boot service of the coordinator itself.
type Boot struct {
	Interface            string
	Address              netip.Prefix // zero: the interface's first
	HTTPPort             int
	TFTP                 bool
	TFTPPort             int
	DHCP                 DHCP
	Repository           string // directory of mini-OS kernels and initrds
	Loaders              string // directory of iPXE binaries
	UEFILoader           string // file in it; "": the default
	UserFiles            string // directory for files that come with custom profiles; "": none
	UserFilesMax         int64  // bytes of all of them
	Params               string // kernel arguments of every mini-OS
	RouterAdvertisements bool
}

// DHCP is what the boot service tells machines.
type DHCP struct {
	Enabled bool
	Router  netip.Addr // zero: none
	DNS     []netip.Addr
	Domain  string
	Lease   time.Duration
}

// PXE is the boot server of the original, for which profiles are written as files.
type PXE struct {
	DHCP, NetworkBoot, LocalBoot PXEMethod
}

// PXEMethod is one way to boot (contract 5.1).
type PXEMethod struct {
	Method              string // PXElinux, GPXElinux, IPXE, GrubPXE
	Repository          string
	Binary              string
	ExportKind          string // tftp, http, ftp
	ExportServer        string
	ProfilesDirectory   string
	ProfilesFilename    string // ip_hex, ip, hostname, hostname_short
	UserFiles           string
	UserFilesMax        int64 // bytes
	UserFilesConcurrent int
}

// Rights says how rights are decided.
type Rights struct {
	Kind       string // db or dummy
	Almighty   []string
	PurgeTimer time.Duration // a node that is being deployed longer than this is free again
}

// Authentication says who is believed to be whom (contract 7.2). A whitelist has
// addresses, networks, host names and /regular expressions/; empty, it has everybody.
type Authentication struct {
	HeadersPrefix string
	UserHeaders   []string // headers, besides <prefix>User, that carry the user's name

	ACL          bool
	ACLWhitelist []string

	Ident          bool
	IdentWhitelist []string
	IdentPort      int

	Basic          bool
	BasicFile      string
	BasicRealm     string
	BasicWhitelist []string

	Certificate          bool
	CACertificate        string // file
	CAPublicKey          string // file, instead of CACertificate
	CertificateWhitelist []string
}

// Security is how the API's TCP port is protected.
type Security struct {
	TLS               bool
	LocalOnly         bool
	Certificate       string // file; "": self-signed
	PrivateKey        string
	ForceSecureClient bool
}

// Logs says what is written down.
type Logs struct {
	LogFile   string // CSV of finished operations
	DebugFile string
	Database  bool
}

// Verbosity are default levels, 0 to 5.
type Verbosity struct{ Clients, Logs int }

// Cache is the image cache.
type Cache struct {
	Directory   string
	Size        int64 // bytes
	Concurrency int
}

// VLAN is how nodes are moved to a VLAN; both empty: they cannot.
type VLAN struct{ HostnameSuffix, SetCommand string }

// Windows bound how many nodes are rebooted, or probed, at once.
type Windows struct {
	Reboot      int
	RebootSleep time.Duration
	Check       int
}

// Environments are limits, and directories on nodes.
type Environments struct {
	MaxPreinstall, MaxPostinstall    int64 // bytes
	ExtractionDir, RambinDir, TmpDir string
	ServerDirectories                []string // server:// files below these are for everybody
	Prepare                          string   // which prepared forms of images are made: auto, frames, off
	PreparedSize                     int64    // bytes of all prepared images together
}

// Hooks are commands that are run when a workflow has ended; WORKFLOW_ID in them is replaced.
type Hooks struct{ EndOfDeployment, EndOfReboot, EndOfPower string }
