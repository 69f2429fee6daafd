package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
)

// deploy is kadeploy3 (contract 1.3).
type deploy struct {
	operation
	place
	environment
	profile
	key string

	bootPartition  string
	reformatTmp    string
	noKexec        bool
	noBootloader   bool
	noPartitioning bool
	noPrepare      bool
	classicalLimit string
	kexecLimit     string
	forceSteps     string
	vlan           string

	resume string // ID of a deployment whose failed nodes are done again

	plan bool // a dry run prints the plan; the original's prints nothing
}

// place is where on the disks an environment is.
type place struct {
	device    string
	partition string
}

func (p *place) define(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&p.device, "block-device", "b", "", "the `DISK`, as /dev/sda or disk1; without -p the whole of it")
	cmd.Flags().StringVarP(&p.partition, "partition-number", "p", "", "the `PARTITION`, by number or label, as 3 or TMP")
}

func (p *place) fill(body map[string]any) {
	if p.device != "" {
		body["block_device"] = p.device
	}
	if p.partition != "" {
		body["deploy_partition"] = p.partition
	}
}

// defaultKeys is what -k means without an argument; "~" is the home directory.
const defaultKeys = "~/.ssh/authorized_keys"

func (a *App) deployCommand(name string) *cobra.Command {
	d := &deploy{operation: operation{
		generic: generic{app: a}, machines: machines{app: a},
		words: deploymentWords,
	}}
	d.plan = name == "deploy"
	cmd := &cobra.Command{
		Use:   name + " [ENVIRONMENT] [options]",
		Short: "Deploy an environment on nodes",
		Long: `Deploy an environment on nodes: one of the registry, by its name, or one that a file describes.

Without -m and -f the nodes are those of the file that $OAR_FILE_NODES, $OAR_NODE_FILE
or $OAR_NODEFILE names, or else the set $SLURM_JOB_NODELIST.

` + exitCodes,
		Example: fmt.Sprintf(`  %[1]s debian12-min -m node-[1-3].lab
  %[1]s -a my.dsc -f $OAR_NODEFILE -k ~/.ssh/id.pub -o ok -n ko
  %[1]s --resume D-3d736660-0caf-4541-bc80-93c6374ae40f`, name),
		ValidArgsFunction: d.onlyEnvironment,
		RunE: func(cmd *cobra.Command, args []string) error {
			if asked, err := d.asked(cmd.Context()); asked {
				return err
			}
			if cmd.Flags().Changed("resume") {
				return d.again(cmd.Context(), cmd, args)
			}
			return d.do(cmd.Context(), args)
		},
	}
	fs := cmd.Flags()
	fs.SortFlags = false
	d.environment.define(cmd)
	fs.StringVarP(&d.environment.file, "env-file", "a", "", "the environment that a `FILE` or a URL describes")
	optional(cmd, &d.key, "key", "k", "FILE|none", defaultKeys, "the public keys that may log in: a file or a URL (default "+defaultKeys+")")
	d.place.define(cmd)
	fs.StringVarP(&d.bootPartition, "boot-partition", "c", "", "the `NUMBER` of the partition to boot from, 0 for the MBR")
	fs.StringVarP(&d.reformatTmp, "reformat-tmp", "r", "", "format the partition for /tmp with the file system `FSTYPE`")
	fs.StringVar(&d.vlan, "vlan", "", "put the nodes in the VLAN `ID`")
	fs.BoolVar(&d.noKexec, "no-kexec", false, "reboot nodes by their firmware, never by kexec")
	fs.BoolVar(&d.noBootloader, "disable-bootloader-install", false, "do not install the boot loader")
	fs.BoolVar(&d.noPartitioning, "disable-disk-partitioning", false, "keep the partition table")
	fs.BoolVar(&d.noPrepare, "no-prepare", false, "send the image as it is, in no prepared form")
	fs.StringVar(&d.classicalLimit, "reboot-classical-timeout", "", "seconds for a reboot: an `EXPRESSION` in n, the number of nodes")
	fs.StringVar(&d.kexecLimit, "reboot-kexec-timeout", "", "seconds for a kexec: an `EXPRESSION` in n, the number of nodes")
	fs.StringVar(&d.forceSteps, "force-steps", "", "the `STEPS` to take: SetDeploymentEnv|NAME:RETRIES:TIMEOUT,...&BroadcastEnv|...&BootNewEnv|...")
	d.profile.define(cmd)
	fs.StringVar(&d.resume, "resume", "", "deploy the failed nodes of the deployment `WID` again, all else as it was (-m: only these of them)")
	d.operation.define(cmd)
	return cmd
}

func (d *deploy) do(ctx context.Context, args []string) error {
	if err := d.begin(); err != nil {
		return err
	}
	if len(args) > 1 {
		return fmt.Errorf("%q is one word too many: give the environment, and all else by options", args[1])
	}
	if len(args) > 0 {
		if d.environment.name != "" || d.environment.file != "" {
			return fmt.Errorf("%q is one environment too many: give only one of ENVIRONMENT, -e and -a", args[0])
		}
		d.environment.name = args[0]
	}
	if d.environment.name == "" && d.environment.file == "" {
		return mistake("You must choose an environment, with its name, -e or -a")
	}
	nodes, err := d.machines.chosen()
	if err != nil {
		return err
	}
	r, err := d.request()
	if err != nil {
		return err
	}
	if err := d.fill(r); err != nil {
		return err
	}
	keys, err := d.keys()
	if err != nil {
		return err
	}
	if keys != "" {
		r.body["ssh_authorized_keys"] = keys
		r.uris = append(r.uris, keys)
	}
	ask := asking{complete: d.environment.complete, send: send("/deployment/")}
	if d.plan && d.dryRun {
		ask.send = d.sendForPlan
	}
	if d.environment.file != "" {
		if err := d.environment.describe(ctx, d.notes(d.generic.app), r); err != nil {
			return err
		}
		ask.complete = nil
	}
	return d.operate(ctx, nodes, r, ask)
}

// send posts an order to a collection.
func send(path string) func(context.Context, *session, map[string]any, *client.Operation) error {
	return func(ctx context.Context, s *session, body map[string]any, op *client.Operation) error {
		return s.Post(ctx, path, body, op)
	}
}

// fill adds the options that only deployments have.
func (d *deploy) fill(r *order) error {
	body := r.body
	d.place.fill(body)
	for key, on := range map[string]bool{
		"disable_kexec": d.noKexec, "disable_bootloader_install": d.noBootloader, "disable_disk_partitioning": d.noPartitioning,
		"no_prepare": d.noPrepare,
	} {
		if on {
			body[key] = true
		}
	}
	for key, text := range map[string]string{
		"timeout_reboot_classical": d.classicalLimit, "timeout_reboot_kexec": d.kexecLimit,
		"reformat_tmp_partition": d.reformatTmp, "vlan": d.vlan,
	} {
		if text != "" {
			body[key] = text
		}
	}
	if d.bootPartition != "" {
		n, err := wholeNumber(d.bootPartition)
		if err != nil {
			return fmt.Errorf("-c %s: %w", d.bootPartition, err)
		}
		body["boot_partition"] = n
	}
	if d.forceSteps != "" {
		steps, err := ParseSteps(d.forceSteps)
		if err != nil {
			return err
		}
		body["automata"] = steps
	}
	return d.profile.fill(r)
}

// keys is the file of public keys, "" for none. Whoever asks for none by name
// gets his own, if he has any.
func (d *deploy) keys() (string, error) {
	key := d.key
	switch key {
	case "none":
		return "", nil
	case "":
		own := filepath.Join(d.generic.app.Home, ".ssh/authorized_keys")
		if _, err := os.Stat(own); err != nil {
			fmt.Fprintf(d.generic.app.Stderr, "No key is given to the nodes, as there is no %s; choose one with -k FILE, or -k none\n", defaultKeys)
			return "", nil
		}
		return own, nil
	}
	return keyFile(d.generic.app, key)
}

// keyFile is the absolute path, or URL, of a file of keys that can be read.
func keyFile(a *App, key string) (string, error) {
	if rest, ok := strings.CutPrefix(key, "~/"); ok {
		key = filepath.Join(a.Home, rest)
	}
	key, err := client.Absolute(key)
	if err != nil {
		return "", err
	}
	if path, ok := client.Local(key); ok {
		f, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("key: %w", err)
		}
		return key, f.Close()
	}
	return key, nil
}
