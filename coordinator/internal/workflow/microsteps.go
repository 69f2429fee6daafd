package workflow

import (
	"fmt"
	"slices"
	"strings"
)

// Names of micro-steps (contract 4.3, 4.4). The engine finds a micro-step's
// implementation by its name.
const (
	SwitchPXE             = "switch_pxe"               // deploy, nfsroot, local or custom
	SetVLAN               = "set_vlan"                 // collective; default or user
	SetDefaultVLAN        = "set_default_vlan"         // collective
	RebootNode            = "reboot"                   // soft, hard or very_hard
	RebootFromDeployEnv   = "reboot_from_deploy_env"   // no argument
	WaitReboot            = "wait_reboot"              // "deploy classical", "deploy kexec", "user classical" or "user kexec"
	StartupScript         = "startup_script"           // no argument
	SendKeyInDeployEnv    = "send_key_in_deploy_env"   // no argument
	CreatePartitionTable  = "create_partition_table"   // no argument
	FormatDeployPart      = "format_deploy_part"       // no argument
	MountDeployPart       = "mount_deploy_part"        // no argument
	FormatTmpPart         = "format_tmp_part"          // no argument
	FormatSwapPart        = "format_swap_part"         // no argument
	SendDeploymentKernel  = "send_deployment_kernel"   // no argument
	Kexec                 = "kexec"                    // deploy or user
	Sync                  = "sync"                     // deploy (in the mini-OS) or previous (in the system that runs)
	CheckNodes            = "check_nodes"              // prod
	ManageAdminPreInstall = "manage_admin_pre_install" // collective
	SendEnvironment       = "send_environment"         // collective; kascade, custom, ...
	DecompressEnvironment = "decompress_environment"   // no argument
	MountTmpPart          = "mount_tmp_part"           // no argument; always useless
	ManageAdminPost       = "manage_admin_post_install"
	ManageUserPost        = "manage_user_post_install"
	CheckKernelFiles      = "check_kernel_files" // no argument
	SendKey               = "send_key"           // no argument
	InstallBootloader     = "install_bootloader" // no argument
	UmountDeployPart      = "umount_deploy_part" // no argument
	PowerNode             = "power"              // on, off or status; the level is the request's
	Dummy                 = "dummy"              // nothing, for a moment
)

// Arguments of micro-steps.
const (
	ToDeploy  = "deploy"  // switch_pxe, kexec: the mini-OS
	ToNfsroot = "nfsroot" // switch_pxe: the mini-OS with its root on NFS
	ToLocal   = "local"   // switch_pxe: the system on the node's disk
	ToCustom  = "custom"  // switch_pxe: the user's own profile
	ToUser    = "user"    // kexec: the system that was deployed

	ByKascade = "kascade" // send_environment: along a chain, as do all names but
	ByCustom  = "custom"  // send_environment: by the site's own command

	VLANDefault = "default"
	VLANUser    = "user"

	WaitDeploy      = "deploy classical"
	WaitDeployKexec = "deploy kexec"
	WaitUser        = "user classical"
	WaitUserKexec   = "user kexec"
)

// MicroStep is one entry of an instance: what is done, in which variant.
type MicroStep struct {
	Name     string
	Argument string
}

// Collective tells whether all nodes of a set that are still alive enter the
// micro-step together. Other micro-steps are entered by each node as soon as it
// is ready.
func (m MicroStep) Collective() bool {
	switch m.Name {
	case SendEnvironment, ManageAdminPreInstall, ManageAdminPost, ManageUserPost,
		SetVLAN, SetDefaultVLAN: // the site's command is run once for all
		return true
	}
	return false
}

// Experience is the key of a micro-step in Request.Expected.
func Experience(cluster, instance, micro string) string {
	return cluster + "/" + CanonicalInstance(instance) + "/" + micro
}

// Names of the macro-steps of a deployment, and their newer alias.
const (
	SetDeploymentEnv    = "SetDeploymentEnv"
	SetDeploymentMiniOS = "SetDeploymentMiniOS"
	BroadcastEnv        = "BroadcastEnv"
	BootNewEnv          = "BootNewEnv"
)

// Macros are the macro-steps of a deployment, in their order.
var macros = [...]string{SetDeploymentEnv, BroadcastEnv, BootNewEnv}

// prepareDisk ends every instance that boots the mini-OS.
var prepareDisk = []MicroStep{
	{StartupScript, ""},
	{SendKeyInDeployEnv, ""},
	{ManageAdminPreInstall, ""},
	{CreatePartitionTable, ""},
	{FormatDeployPart, ""},
	{MountDeployPart, ""},
	{FormatTmpPart, ""},
	{FormatSwapPart, ""},
}

// personalise ends every instance of BroadcastEnv.
var personalise = []MicroStep{
	{ManageAdminPost, ""},
	{ManageUserPost, ""},
	{CheckKernelFiles, ""},
	{SendKey, ""},
	{InstallBootloader, ""},
	{Sync, ToDeploy},
}

func bootFrom(profile string) []MicroStep {
	return []MicroStep{{SwitchPXE, profile}, {SetVLAN, VLANDefault}, {RebootNode, "soft"}, {WaitReboot, WaitDeploy}}
}

func broadcast(kind string, mount bool) []MicroStep {
	steps := []MicroStep{{SendEnvironment, kind}, {DecompressEnvironment, ""}}
	if mount {
		steps = append(steps, MicroStep{MountDeployPart, ""})
	}
	return slices.Concat(steps, personalise)
}

var twoDummies = []MicroStep{{Dummy, ""}, {Dummy, ""}}

// instances is the table of contract 4.3: every way to do each macro-step, with
// all micro-steps that it can have. plan removes those that a request does not need.
// Keys are the older names; see CanonicalInstance.
var instances = map[string][]MicroStep{
	"SetDeploymentEnvUntrusted": slices.Concat(bootFrom(ToDeploy), prepareDisk),
	"SetDeploymentEnvNfsroot":   slices.Concat(bootFrom(ToNfsroot), prepareDisk),
	"SetDeploymentEnvKexec": slices.Concat([]MicroStep{
		{SetVLAN, VLANDefault}, {SendDeploymentKernel, ""}, {Sync, "previous"}, {Kexec, ToDeploy}, {WaitReboot, WaitDeployKexec},
	}, prepareDisk),
	"SetDeploymentEnvTrusted": slices.Concat([]MicroStep{
		{SwitchPXE, ToDeploy}, {SendDeploymentKernel, ""}, {SetDefaultVLAN, ""}, {Kexec, ToDeploy}, {WaitReboot, WaitDeployKexec},
	}, prepareDisk),
	"SetDeploymentEnvUntrustedCustomPreInstall": slices.Concat(bootFrom(ToDeploy), []MicroStep{
		{StartupScript, ""}, {SendKeyInDeployEnv, ""}, {ManageAdminPreInstall, ""},
	}),
	"SetDeploymentEnvProd": {
		{CheckNodes, "prod"}, {FormatDeployPart, ""}, {MountDeployPart, ""}, {FormatTmpPart, ""},
	},
	"SetDeploymentEnvDummy": twoDummies,

	"BroadcastEnvKascade":    broadcast("kascade", true),
	"BroadcastEnvKastafior":  broadcast("kastafior", true),
	"BroadcastEnvChain":      broadcast("chain", false),
	"BroadcastEnvTree":       broadcast("tree", false),
	"BroadcastEnvBittorrent": slices.Concat([]MicroStep{{MountTmpPart, ""}}, broadcast("bittorrent", false)),
	"BroadcastEnvCustom":     broadcast("custom", false),
	"BroadcastEnvDummy":      twoDummies,

	"BootNewEnvKexec": {
		{SwitchPXE, ToLocal}, {UmountDeployPart, ""}, {MountDeployPart, ""}, {Kexec, ToUser}, {SetVLAN, VLANUser}, {WaitReboot, WaitUserKexec},
	},
	"BootNewEnvClassical": {
		{SwitchPXE, ToLocal}, {UmountDeployPart, ""}, {RebootFromDeployEnv, ""}, {SetVLAN, VLANUser}, {WaitReboot, WaitUser},
	},
	"BootNewEnvHardReboot": {
		{SwitchPXE, ToLocal}, {RebootNode, "hard"}, {SetVLAN, VLANUser}, {WaitReboot, WaitUser},
	},
	"BootNewEnvDummy": twoDummies,
}

// CanonicalInstance is the older name of an instance of a macro-step:
// SetDeploymentMiniOSTrusted is SetDeploymentEnvTrusted.
func CanonicalInstance(name string) string {
	if rest, ok := strings.CutPrefix(name, SetDeploymentMiniOS); ok {
		return SetDeploymentEnv + rest
	}
	return name
}

// KnownInstance tells whether name is an instance of the macro-step, under its
// older or its newer name.
func KnownInstance(macro, name string) bool {
	macro, name = CanonicalInstance(macro), CanonicalInstance(name)
	_, ok := instances[name]
	return ok && strings.HasPrefix(name, macro)
}

// Unknown is why name is no instance of a macro-step that can be asked for; "" if it is one.
func Unknown(macro, name string) string {
	switch {
	case KnownInstance(macro, name):
		return ""
	case name == BootNewEnv+"PivotRoot":
		return name + " has never been implemented: use BootNewEnvKexec, or BootNewEnvClassical"
	}
	return fmt.Sprintf("there is no way '%s' to do %s; there are %s", strings.TrimPrefix(CanonicalInstance(name), CanonicalInstance(macro)), macro, strings.Join(Ways(macro), ", "))
}

// Ways are the names of the instances of a macro-step, without the macro-step's own before them.
func Ways(macro string) []string {
	macro = CanonicalInstance(macro)
	var ways []string
	for name := range instances {
		if way, ok := strings.CutPrefix(name, macro); ok {
			ways = append(ways, way)
		}
	}
	slices.Sort(ways)
	return ways
}

// KnownMicro tells whether name is a micro-step at all.
func KnownMicro(name string) bool {
	switch name {
	case PowerNode, "load_drivers", "produce_bad_nodes": // the latter two are of the original; no instance has them
		return true
	}
	for _, steps := range instances {
		if slices.ContainsFunc(steps, func(m MicroStep) bool { return m.Name == name }) {
			return true
		}
	}
	return false
}

// rebootSteps are the micro-steps of a reboot workflow, by kind.
func rebootSteps(kind, level string) (instance string, steps []MicroStep, ok bool) {
	reboot := []MicroStep{{RebootNode, level}, {SetVLAN, VLANUser}}
	switch kind {
	case "simple":
		return "Simple", slices.Concat(reboot, []MicroStep{{WaitReboot, WaitUser}}), true
	case "set_pxe":
		return "SetPXE", slices.Concat([]MicroStep{{SwitchPXE, ToCustom}}, reboot, []MicroStep{{WaitReboot, WaitUser}}), true
	case "deploy_env":
		return "DeployEnv", slices.Concat([]MicroStep{{SwitchPXE, ToDeploy}}, reboot,
			[]MicroStep{{WaitReboot, WaitDeploy}, {SendKeyInDeployEnv, ""}}), true
	case "recorded_env":
		return "RecordedEnv", slices.Concat([]MicroStep{{SwitchPXE, ToLocal}}, reboot, []MicroStep{{WaitReboot, WaitUser}}), true
	}
	return "", nil, false
}

// powerInstances are the instances of a power workflow, by action.
var powerInstances = map[string]string{"on": "On", "off": "Off", "status": "Status"}
