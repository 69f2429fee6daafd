package workflow

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
)

// ordinary is a deployment that needs nothing unusual, on a site that kexecs.
func ordinary() (*Request, *cluster.Cluster) {
	instance := func(name string) cluster.Instance {
		return cluster.Instance{Name: name, Timeout: 100 * time.Second, Raisable: true}
	}
	c := &cluster.Cluster{
		Name: "lab", Kexec: true,
		Partitioning: cluster.Partitioning{BlockDevice: "/dev/vda", Deploy: 3, Swap: 1, Prod: 2, Tmp: 5},
		MiniOS:       cluster.MiniOS{Filesystems: []string{"ext4"}},
		Timeouts:     cluster.Timeouts{Reboot: "60+n*10", Kexec: "30"},
		Automaton: cluster.Automaton{
			SetDeploymentEnv: []cluster.Instance{instance("SetDeploymentMiniOSTrusted"), instance("SetDeploymentMiniOSUntrusted")},
			BroadcastEnv:     []cluster.Instance{instance("BroadcastEnvKascade")},
			BootNewEnv:       []cluster.Instance{instance("BootNewEnvKexec"), instance("BootNewEnvHardReboot")},
		},
	}
	return &Request{
		Kind: Deploy, Keys: []byte("key"),
		Env: &env.Description{OS: "linux", Filesystem: "ext4", Image: env.Image{Kind: "tar"}, Boot: env.Boot{Kernel: "/vmlinuz"}, Postinstalls: []env.Archive{{}}},
	}, c
}

// sketch lists the instances of a plan with their micro-steps.
func sketch(p *Plan) map[string]string {
	out := make(map[string]string)
	for _, m := range p.Macros {
		for i, in := range m.Instances {
			var steps []string
			for _, s := range in.Micros {
				text := s.Name
				if s.Argument != "" {
					text += "(" + s.Argument + ")"
				}
				steps = append(steps, text)
			}
			out[fmt.Sprintf("%d %s", i, in.Name)] = strings.Join(steps, " ")
		}
	}
	return out
}

const (
	trusted   = "0 SetDeploymentMiniOSTrusted"
	untrusted = "1 SetDeploymentMiniOSUntrusted"
	kascade   = "0 BroadcastEnvKascade"
	kexec     = "0 BootNewEnvKexec"
	classical = "0 BootNewEnvClassical"
	hard      = "1 BootNewEnvHardReboot"

	toDisk = "send_key_in_deploy_env create_partition_table format_deploy_part mount_deploy_part format_swap_part"
)

func ordinaryPlan() map[string]string {
	return map[string]string{
		trusted:   "switch_pxe(deploy) send_deployment_kernel kexec(deploy) wait_reboot(deploy kexec) " + toDisk,
		untrusted: "switch_pxe(deploy) reboot(soft) wait_reboot(deploy classical) " + toDisk,
		kascade:   "send_environment(kascade) manage_user_post_install check_kernel_files send_key install_bootloader sync(deploy)",
		kexec:     "switch_pxe(local) umount_deploy_part mount_deploy_part kexec(user) wait_reboot(user kexec)",
		hard:      "switch_pxe(local) reboot(hard) wait_reboot(user classical)",
	}
}

// TestPlan goes through the removal table of contract 4.3: each case changes the
// ordinary request and says how the ordinary plan changes. Empty: the instance is gone.
func TestPlan(t *testing.T) {
	const classicalSteps = "switch_pxe(local) umount_deploy_part reboot_from_deploy_env wait_reboot(user classical)"
	without := func(instance, steps string) string {
		text := " " + ordinaryPlan()[instance] + " "
		for s := range strings.FieldsSeq(steps) {
			text = strings.Replace(text, " "+s+" ", " ", 1)
		}
		return strings.TrimSpace(text)
	}
	yes, no := true, false
	for _, c := range []struct {
		name   string
		change func(r *Request, c *cluster.Cluster)
		want   map[string]string
	}{
		{"ordinary", func(*Request, *cluster.Cluster) {}, nil},
		{"kexec allowed by the description", func(r *Request, _ *cluster.Cluster) { r.Env.Options.Kexec = &yes }, nil},
		{"no key", func(r *Request, _ *cluster.Cluster) { r.Keys = nil }, map[string]string{
			trusted: without(trusted, "send_key_in_deploy_env"), untrusted: without(untrusted, "send_key_in_deploy_env"), kascade: without(kascade, "send_key"),
		}},
		{"no postinstall", func(r *Request, _ *cluster.Cluster) { r.Env.Postinstalls = nil }, map[string]string{kascade: without(kascade, "manage_user_post_install")}},
		{"no boot loader", func(r *Request, _ *cluster.Cluster) { r.NoBootloader = true }, map[string]string{kascade: without(kascade, "install_bootloader")}},
		{"no partitioning", func(r *Request, _ *cluster.Cluster) { r.NoPartition = true }, map[string]string{
			trusted: without(trusted, "create_partition_table"), untrusted: without(untrusted, "create_partition_table"),
		}},
		{"swap disabled", func(_ *Request, c *cluster.Cluster) { c.Partitioning.DisableSwap = true }, map[string]string{
			trusted: without(trusted, "format_swap_part"), untrusted: without(untrusted, "format_swap_part"),
		}},
		{"deployment on the swap partition", func(r *Request, _ *cluster.Cluster) { r.Partition = "SWAP" }, map[string]string{
			trusted: without(trusted, "format_swap_part"), untrusted: without(untrusted, "format_swap_part"),
		}},
		{"tmp formatted", func(r *Request, _ *cluster.Cluster) { r.ReformatTmp = "ext4" }, map[string]string{
			trusted:   strings.Replace(ordinaryPlan()[trusted], "format_swap_part", "format_tmp_part format_swap_part", 1),
			untrusted: strings.Replace(ordinaryPlan()[untrusted], "format_swap_part", "format_tmp_part format_swap_part", 1),
		}},
		{"tmp is the deployment partition", func(r *Request, _ *cluster.Cluster) { r.ReformatTmp, r.Partition = "ext4", "5" }, nil},
		{"multipart", func(r *Request, _ *cluster.Cluster) { r.Env.Multipart, r.ReformatTmp = true, "ext4" }, map[string]string{
			trusted: without(trusted, "format_swap_part"), untrusted: without(untrusted, "format_swap_part"),
		}},
		{"disk image", func(r *Request, _ *cluster.Cluster) { r.Env.Image.Kind = "dd" }, map[string]string{
			trusted:   without(trusted, "format_deploy_part mount_deploy_part"),
			untrusted: without(untrusted, "format_deploy_part mount_deploy_part"),
			kascade:   strings.Replace(ordinaryPlan()[kascade], "send_environment(kascade)", "send_environment(kascade) mount_deploy_part", 1),
		}},
		{"image of fsarchiver", func(r *Request, _ *cluster.Cluster) { r.Env.Image.Kind = "fsa" }, map[string]string{
			trusted:   without(trusted, "format_deploy_part mount_deploy_part"),
			untrusted: without(untrusted, "format_deploy_part mount_deploy_part"),
			kascade:   strings.Replace(ordinaryPlan()[kascade], "send_environment(kascade)", "send_environment(kascade) mount_deploy_part", 1),
		}},
		{"disk image that does not name its kernel", func(r *Request, _ *cluster.Cluster) { r.Env.Image.Kind, r.Env.Boot.Kernel = "dd", "" }, map[string]string{
			trusted:   without(trusted, "format_deploy_part mount_deploy_part"),
			untrusted: without(untrusted, "format_deploy_part mount_deploy_part"),
			kascade:   "send_environment(kascade) mount_deploy_part manage_user_post_install send_key install_bootloader sync(deploy)",
			kexec:     "", classical: classicalSteps,
		}},
		{"whole device", func(r *Request, _ *cluster.Cluster) {
			r.Env.Image.Kind, r.BlockDevice, r.BootPart = "dd", "/dev/vda", "2"
		}, map[string]string{
			trusted:   without(trusted, "create_partition_table format_deploy_part mount_deploy_part format_swap_part"),
			untrusted: without(untrusted, "create_partition_table format_deploy_part mount_deploy_part format_swap_part"),
			kascade:   "send_environment(kascade) mount_deploy_part manage_user_post_install check_kernel_files send_key sync(deploy)",
		}},
		{"whole device that boots from its MBR", func(r *Request, _ *cluster.Cluster) {
			r.Env.Image.Kind, r.BlockDevice, r.BootPart = "dd", "/dev/vda", "0"
		}, map[string]string{
			trusted:   without(trusted, "create_partition_table format_deploy_part mount_deploy_part format_swap_part"),
			untrusted: without(untrusted, "create_partition_table format_deploy_part mount_deploy_part format_swap_part"),
			kascade:   "send_environment(kascade) sync(deploy)",
			kexec:     "", classical: "switch_pxe(local) reboot_from_deploy_env wait_reboot(user classical)",
		}},
		{"unknown file system", func(r *Request, _ *cluster.Cluster) { r.Env.Filesystem, r.Env.Image.Kind = "zfs", "dd" }, map[string]string{
			trusted: without(trusted, "format_deploy_part mount_deploy_part"), untrusted: without(untrusted, "format_deploy_part mount_deploy_part"),
			kascade: "send_environment(kascade) sync(deploy)",
			kexec:   "", classical: "switch_pxe(local) reboot_from_deploy_env wait_reboot(user classical)",
		}},
		{"xen", func(r *Request, _ *cluster.Cluster) { r.Env.OS = "xen" }, map[string]string{
			trusted: without(trusted, "format_swap_part"), untrusted: without(untrusted, "format_swap_part"), kexec: "", classical: classicalSteps,
		}},
		{"vlan", func(r *Request, _ *cluster.Cluster) { r.VLAN = "4" }, map[string]string{
			trusted:   strings.Replace(ordinaryPlan()[trusted], "send_deployment_kernel", "send_deployment_kernel set_default_vlan", 1),
			untrusted: strings.Replace(ordinaryPlan()[untrusted], "reboot(soft)", "set_vlan(default) reboot(soft)", 1),
			kexec:     strings.Replace(ordinaryPlan()[kexec], "kexec(user)", "kexec(user) set_vlan(user)", 1),
			hard:      strings.Replace(ordinaryPlan()[hard], "reboot(hard)", "reboot(hard) set_vlan(user)", 1),
		}},
		{"startup script", func(_ *Request, c *cluster.Cluster) { c.Startup = []byte("x") }, map[string]string{
			trusted:   strings.Replace(ordinaryPlan()[trusted], "(deploy kexec)", "(deploy kexec) startup_script", 1),
			untrusted: strings.Replace(ordinaryPlan()[untrusted], "(deploy classical)", "(deploy classical) startup_script", 1),
		}},
		{"no kexec", func(r *Request, _ *cluster.Cluster) { r.NoKexec = true }, map[string]string{
			trusted: "", untrusted: "", "0 SetDeploymentMiniOSUntrusted": ordinaryPlan()[untrusted], kexec: "", classical: classicalSteps,
		}},
		{"a site without kexec", func(_ *Request, c *cluster.Cluster) { c.Kexec = false }, map[string]string{
			trusted: "", untrusted: "", "0 SetDeploymentMiniOSUntrusted": ordinaryPlan()[untrusted], kexec: "", classical: classicalSteps,
		}},
		{"previous environment not trusted", func(r *Request, _ *cluster.Cluster) { r.Env.Options.TrustPreviousEnv = &no }, map[string]string{
			trusted: "", untrusted: "", "0 SetDeploymentMiniOSUntrusted": ordinaryPlan()[untrusted],
		}},
		{"the site's preinstalls and postinstalls", func(_ *Request, c *cluster.Cluster) {
			c.Preinstalls, c.Postinstalls = []cluster.Archive{{}}, []cluster.Archive{{}}
		}, map[string]string{
			trusted:   strings.Replace(ordinaryPlan()[trusted], "send_key_in_deploy_env", "send_key_in_deploy_env manage_admin_pre_install", 1),
			untrusted: strings.Replace(ordinaryPlan()[untrusted], "send_key_in_deploy_env", "send_key_in_deploy_env manage_admin_pre_install", 1),
			kascade:   strings.Replace(ordinaryPlan()[kascade], "manage_user_post_install", "manage_admin_post_install manage_user_post_install", 1),
		}},
		{"preinstall", func(r *Request, _ *cluster.Cluster) { r.Env.Preinstall = &env.Archive{} }, map[string]string{
			trusted: "", untrusted: "",
			"0 SetDeploymentEnvUntrustedCustomPreInstall": "switch_pxe(deploy) reboot(soft) wait_reboot(deploy classical) send_key_in_deploy_env manage_admin_pre_install",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, cl := ordinary()
			c.change(r, cl)
			plan, err := NewPlan(r, ClusterNodes{Cluster: cl, Nodes: []string{"n1"}})
			if err != nil {
				t.Fatal(err)
			}
			want := ordinaryPlan()
			for instance, steps := range c.want {
				if want[instance] = steps; steps == "" {
					delete(want, instance)
				}
			}
			if d := cmp.Diff(want, sketch(plan)); d != "" {
				t.Errorf("plan (-want +got):\n%s", d)
			}
		})
	}
}

func TestPlanOfReboots(t *testing.T) {
	for kind, want := range map[string]map[string]string{
		"simple":       {"0 Simple": "reboot(very_hard) wait_reboot(user classical)"},
		"set_pxe":      {"0 SetPXE": "switch_pxe(custom) reboot(very_hard) wait_reboot(user classical)"},
		"deploy_env":   {"0 DeployEnv": "switch_pxe(deploy) reboot(very_hard) wait_reboot(deploy classical) send_key_in_deploy_env"},
		"recorded_env": {"0 RecordedEnv": "switch_pxe(local) reboot(very_hard) wait_reboot(user classical)"},
	} {
		_, c := ordinary()
		plan, err := NewPlan(&Request{Kind: Reboot, RebootKind: kind, Level: cluster.LevelVeryHard, Keys: []byte("k")}, ClusterNodes{Cluster: c, Nodes: []string{"n1"}})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, sketch(plan)); d != "" {
			t.Errorf("%s (-want +got):\n%s", kind, d)
		}
	}
}

func TestPlanLimits(t *testing.T) {
	limit := func(change func(r *Request)) (kexec, classical, instance time.Duration) {
		r, c := ordinary()
		change(r)
		plan, err := NewPlan(r, ClusterNodes{Cluster: c, Nodes: []string{"n1", "n2", "n3"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range plan.Macros[2].Instances {
			last := in.Micros[len(in.Micros)-1]
			if in.Name == "BootNewEnvKexec" {
				kexec = last.Limit
			} else {
				classical, instance = last.Limit, in.Timeout
			}
		}
		return
	}
	for _, c := range []struct {
		reboot, kexec      string
		wantKexec, wantReb time.Duration
		wantInstance       time.Duration
	}{
		{"", "", 30 * time.Second, 90 * time.Second, 100 * time.Second},
		{"n*100", "n+1", 4 * time.Second, 300 * time.Second, 310 * time.Second}, // the instance gets what the user added
		{"10", "", 30 * time.Second, 10 * time.Second, 100 * time.Second},
	} {
		kexec, reboot, instance := limit(func(r *Request) { r.RebootLimit, r.KexecLimit = c.reboot, c.kexec })
		if kexec != c.wantKexec || reboot != c.wantReb || instance != c.wantInstance {
			t.Errorf("limits %q %q: kexec %v, reboot %v, instance %v", c.reboot, c.kexec, kexec, reboot, instance)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, c := range []struct {
		change func(r *Request, c *cluster.Cluster)
		code   int
		want   string
	}{
		{func(r *Request, _ *cluster.Cluster) { r.RebootLimit = "rm -rf" }, 4, "timeout_reboot_classical"},
		{func(r *Request, _ *cluster.Cluster) { r.KexecLimit = "0" }, 4, "between one second and a year"},
		{func(r *Request, _ *cluster.Cluster) { r.Breakpoint = "BootNewEnvClassical" }, 4, "not part of the workflow"},
		{func(r *Request, _ *cluster.Cluster) { r.Breakpoint = "BroadcastEnv:nothing" }, 4, "unknown micro-step"},
		{func(r *Request, _ *cluster.Cluster) { r.Env = nil }, 7, "needs an environment"},
		{func(r *Request, _ *cluster.Cluster) { r.Kind = "dance" }, 4, "unknown kind"},
		{func(r *Request, _ *cluster.Cluster) {
			r.Automaton = &cluster.Automaton{BroadcastEnv: []cluster.Instance{{Name: "BootNewEnvKexec"}}}
		}, 4, "there is no way 'BootNewEnvKexec' to do BroadcastEnv"},
		{func(r *Request, _ *cluster.Cluster) {
			r.Automaton = &cluster.Automaton{BootNewEnv: []cluster.Instance{{Name: "BootNewEnvPivotRoot"}}}
		}, 4, "never been implemented"},
		{func(_ *Request, c *cluster.Cluster) { c.Timeouts.Reboot = "x" }, 0, "cluster lab"},
	} {
		r, cl := ordinary()
		c.change(r, cl)
		_, err := NewPlan(r, ClusterNodes{Cluster: cl, Nodes: []string{"n1"}})
		var f *Failure
		if !errors.As(err, &f) || f.Code != c.code || !strings.Contains(f.Message, c.want) {
			t.Errorf("NewPlan = %v, want code %d with %q", err, c.code, c.want)
		}
	}
}

// An archive is not unpacked into the memory of a node that cannot mount the file system.
func TestArchiveOnAnUnknownFileSystem(t *testing.T) {
	r, c := ordinary()
	r.Env.Filesystem = "zfs"
	_, err := NewPlan(r, ClusterNodes{Cluster: c, Nodes: []string{"n1"}})
	var f *Failure
	if !errors.As(err, &f) || f.Code != 4 || !strings.Contains(f.Message, "cluster lab does not mount zfs") {
		t.Errorf("NewPlan = %v", err)
	}
	r.Env.Preinstall = &env.Archive{}
	if _, err := NewPlan(r, ClusterNodes{Cluster: c, Nodes: []string{"n1"}}); err != nil {
		t.Errorf("with a preinstall, which may mount it: %v", err)
	}
}
