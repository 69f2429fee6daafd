// Package cluster describes the machines of a site: clusters, their nodes, and
// what the site's configuration says of how to partition, boot, power and
// deploy them. It holds data only; package config fills it from files.
package cluster

import (
	"net/netip"
	"time"

	"kadeploy/coordinator/internal/customops"
	"kadeploy/coordinator/internal/layout"
)

// Site is all clusters that one coordinator serves.
type Site struct {
	Clusters []*Cluster
}

// Node is one machine.
type Node struct {
	Name    string     // FQDN, as in clusters.conf
	Address netip.Addr // the address that the boot service leases to it
	MAC     string     // lower case, colon separated; needed only when the coordinator serves DHCP
}

// Cluster is a set of alike machines and what to do with them (contract 5.3).
type Cluster struct {
	Name         string
	Prefix       string
	Arch         string // x86_64 unless the configuration says otherwise
	Nodes        []Node
	Partitioning Partitioning
	MiniOS       MiniOS
	UserParams   string // boot.kernels.user.params, put before the environment's
	Bootloader   []byte // site script boot.install_bootloader; empty: the agent's own
	Startup      []byte // site script boot.startup_script; empty: none
	Remote       RemoteOps
	Timeouts     Timeouts
	Automaton    Automaton
	SleepPing    time.Duration // wait before the first probe of a rebooted node
	Variables    map[string]string
	Preinstalls  []Archive // of the site's, run on the mini-OS before the disk is touched
	Postinstalls []Archive // of the site's, run before the environment's own
	Broadcast    Command   // localops.broadcastenv.cmd: how BroadcastEnvCustom sends the image; no Line: not at all
	BroadcastRaw bool      // it only brings the file to the nodes, where it is unpacked afterwards
	Loading      Loading   // how the mini-OS is loaded by a system that runs
	Trusted      *Trusted  // nil: no system on a node is trusted to kexec into the mini-OS
	UseIP        bool      // contact nodes by address instead of by name
	Kexec        bool      // false: never kexec (site choice)
	PXEHeaders   PXEHeaders
	BMC          *BMC // for what Remote has no command; nil: none
}

// Partitioning says which disk is deployed on and which partition does what.
// A partition number of -1 means that there is none.
type Partitioning struct {
	BlockDevice string // /dev/vda, disk0
	DiskID      string // suffix of partition labels, "disk0" by default
	Deploy      int
	DeployLabel string // label of the deploy partition, "DEPLOY" by default
	Swap        int
	Prod        int
	Tmp         int
	DisableSwap bool
	Script      []byte          // site script; empty: Layout
	Format      []byte          // site script that makes the file system that is deployed on; empty: the agent makes it
	Layout      []layout.Part   // empty: the built-in GPT scheme
	Disks       map[string]Disk // by id: disk0, disk1; ids that are not there are given in the order of the disks' places
}

// Disk is what is known of a disk of the cluster's nodes: by what it is found, and
// what it must be. Empty fields are not looked at.
type Disk struct {
	Path    string   // of the device, or a link to it
	Serials []string // of which it has one; * stands for any characters
	WWNs    []string // likewise
	Size    uint64   // bytes, as disks are sold: up to a fiftieth more or less
}

// MiniOS is what a node boots to be deployed (boot.kernels.deploy).
type MiniOS struct {
	Kernel      string // file name in the boot repository
	Initrd      string
	Params      string
	Filesystems []string // supported_fs
	Drivers     []string // kernel modules to load once it is up

	// Of the mini-OS whose root is on NFS (boot.kernels.nfsroot); no kernel: there is none.
	NFSKernel, NFSParams string
}

// PXEHeaders are lines on top of the boot profiles that are written for a boot server of the site's.
type PXEHeaders struct{ DHCP, Network, Local string }

// Loading is how a kernel is entered without the firmware (kexec.*).
type Loading struct {
	Directory   string // on the node, for the kernel and the initrd of the mini-OS
	DisableSwap bool   // switch swap off first
	Before      string // command line for the coordinator's host, run for each node before it is told to leave; empty: none
	Script      []byte // run on the node, which loads a kernel and enters it; empty: the built-in way
}

// Archive is a site's preinstall or postinstall, from a file on the server.
type Archive struct {
	File        string
	Compression string // gzip, bzip2, xz, zstd
	Script      string // with arguments; "none" runs nothing
}

// Drivers of management controllers.
const (
	IPMI    = "ipmi"
	Redfish = "redfish"
)

// BMC is how the management controllers of a cluster are reached.
type BMC struct {
	Driver   string // IPMI or Redfish
	Address  string // host[:port], with the patterns of commands: HOSTNAME_SHORT-bmc.site
	User     string
	Password string `json:"-"`
	CA       []byte // certificates that sign those of Redfish controllers; empty: the system's
	Insecure bool   // do not check their certificates
}

// Levels of a reboot or power operation, from the gentlest on.
const (
	LevelSoft = iota
	LevelHard
	LevelVeryHard
	Levels
)

// LevelNames are the levels' names in files, on command lines and in messages.
var LevelNames = [Levels]string{"soft", "hard", "very_hard"}

// Command is a command line of the site's, run on the server by a shell after
// the patterns HOSTNAME_FQDN, HOSTNAME_SHORT, GROUP_FQDN, GROUP_SHORT were replaced.
// An empty Line means that the site provides no such command.
type Command struct {
	Line  string
	Group string // file of groups, one comma-separated group a line
}

// RemoteOps are the site's commands on the machines themselves, by level.
type RemoteOps struct {
	Reboot, PowerOn, PowerOff [Levels]Command
	PowerStatus, Console      Command
	ConsoleLog                Command            // prints what the node's console showed last
	PerNode                   map[string]NodeOps // command.conf: overrides for single nodes
}

// NodeOps are the overrides for one node; empty fields do not override.
type NodeOps struct {
	Reboot, PowerOn, PowerOff [Levels]Command
	PowerStatus, Console      Command
	ConsoleLog                Command
}

// Timeouts are arithmetic expressions in n, the number of nodes; seconds.
type Timeouts struct {
	Reboot string
	Kexec  string
}

// Automaton is the ordered choice of instances for each macro-step.
type Automaton struct {
	SetDeploymentEnv []Instance
	BroadcastEnv     []Instance
	BootNewEnv       []Instance
}

// Instance is one way to do a macro-step.
type Instance struct {
	Name       string        // SetDeploymentEnvUntrusted, ...
	Retries    int           // attempts after the first
	Timeout    time.Duration // 0: none
	Raisable   bool          // nodes that are done move on while others retry
	Breakpoint bool
	Micro      []MicroOverride
}

// MicroOverride changes one micro-step of an instance.
type MicroOverride struct {
	Name       string
	Timeout    time.Duration
	Expected   time.Duration // what it takes a node; 0: what the statistics say
	Retries    int
	Raisable   bool
	Breakpoint bool
	Operations customops.Steps // of the site's own, around or instead of it
}
