package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/env"
)

// deploy is kadeploy3 (contract 1.3).
type deploy struct {
	operation
	place
	environment
	key string

	bootPartition  string
	reformatTmp    string
	noKexec        bool
	noBootloader   bool
	noPartitioning bool
	classicalLimit string
	kexecLimit     string
	forceSteps     string
	variables      []string
	vlan           string
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
		words: words{kind: "deployment", title: "Deployment", name: "deployment"},
	}}
	cmd := &cobra.Command{
		Use:   name + " [ENVIRONMENT] [options]",
		Short: "Deploy an environment on nodes",
		Long: `Deploy an environment on nodes: one of the registry, by its name, or one that a file describes.

Without -m and -f the nodes are those of the file that $OAR_FILE_NODES, $OAR_NODE_FILE
or $OAR_NODEFILE names, or else the set $SLURM_JOB_NODELIST.

` + exitCodes,
		Example: fmt.Sprintf(`  %[1]s debian12-min -m node-[1-3].lab
  %[1]s -a my.dsc -f $OAR_NODEFILE -k ~/.ssh/id.pub -o ok -n ko`, name),
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if asked, err := d.asked(cmd.Context()); asked {
				return err
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
	fs.StringVar(&d.classicalLimit, "reboot-classical-timeout", "", "seconds for a reboot: an `EXPRESSION` in n, the number of nodes")
	fs.StringVar(&d.kexecLimit, "reboot-kexec-timeout", "", "seconds for a kexec: an `EXPRESSION` in n, the number of nodes")
	fs.StringVar(&d.forceSteps, "force-steps", "", "the `STEPS` to take: SetDeploymentEnv|NAME:RETRIES:TIMEOUT,...&BroadcastEnv|...&BootNewEnv|...")
	fs.StringArrayVar(&d.variables, "custom-variable", nil, "a variable for scripts on the nodes, `KEY=VALUE`; may be repeated")
	d.operation.define(cmd)
	return cmd
}

func (d *deploy) do(ctx context.Context, args []string) error {
	if err := d.begin(); err != nil {
		return err
	}
	defer d.stopLending()
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
	body := d.request(nodes)
	if err := d.fill(body); err != nil {
		return err
	}
	keys, err := d.keys()
	if err != nil {
		return err
	}
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	uris, err := d.environment.fill(ctx, &d.generic, c, body)
	if err != nil {
		return err
	}
	if keys != "" {
		body["ssh_authorized_keys"] = keys
		uris = append(uris, keys)
	}
	if err := d.lend(ctx, c, body, uris); err != nil {
		return err
	}
	return d.run(ctx, c, nodes, func(op *client.Operation) error { return c.Post(ctx, "/deployment/", body, op) })
}

// fill adds the options that only deployments have.
func (d *deploy) fill(body map[string]any) error {
	d.place.fill(body)
	for key, on := range map[string]bool{
		"disable_kexec": d.noKexec, "disable_bootloader_install": d.noBootloader, "disable_disk_partitioning": d.noPartitioning,
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
	if len(d.variables) > 0 {
		vars, err := ParseVariables(d.variables)
		if err != nil {
			return err
		}
		body["custom_variables"] = vars
	}
	return nil
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

// environment are the options that choose what is deployed.
type environment struct {
	name    string
	file    string
	owner   string
	version string
	arch    string
}

func (e *environment) define(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&e.name, "env-name", "e", "", "the environment of the registry with this `NAME`")
	fs.StringVarP(&e.owner, "env-user", "u", "", "of this `USER`; otherwise of yours, then of public ones")
	fs.StringVar(&e.version, "env-version", "", "the `NUMBER` of its version; otherwise the latest")
	fs.StringVar(&e.arch, "env-arch", "", "for this `ARCH`: x86_64, ppc64le or aarch64")
}

// fill adds the environment to a request, and returns the URIs of its files.
func (e *environment) fill(ctx context.Context, g *generic, c *client.Client, body map[string]any) ([]string, error) {
	if e.file != "" {
		return e.describe(ctx, g.app, body)
	}
	query := url.Values{"last": {"true"}, "name": {e.name}}
	if e.owner != "" {
		query.Set("username", e.owner)
	}
	if e.version != "" {
		if _, err := wholeNumber(e.version); err != nil {
			return nil, fmt.Errorf("--env-version %s: %w", e.version, err)
		}
		query.Set("version", e.version)
		query.Del("last")
	}
	if e.arch != "" {
		query.Set("arch", e.arch)
	}
	var found []registered
	err := c.Get(ctx, "/environments", query, &found)
	var answer *client.Error
	if errors.As(err, &answer) && answer.Status == 404 || err == nil && len(found) == 0 {
		return nil, mistakef("The environment %s cannot be found; kaenv3 -l lists those that you may use", e)
	}
	if err != nil {
		return nil, err
	}
	best := found[0]
	for _, f := range found {
		if e.owner == "" && f.User == g.actor && best.User != g.actor {
			best = f
		}
	}
	ref := map[string]any{"kind": "database", "user": best.User, "name": best.Name, "version": best.Version}
	if e.arch != "" {
		ref["arch"] = e.arch
	}
	body["environment"] = ref
	return urisOf(&best.Description), nil
}

func (e *environment) String() string {
	text := e.name
	if e.version != "" {
		text += " version " + e.version
	}
	if e.arch != "" {
		text += " for " + e.arch
	}
	if e.owner != "" {
		text += " of user " + e.owner
	}
	return text
}

// describe adds the description that a file holds.
func (e *environment) describe(ctx context.Context, a *App, body map[string]any) ([]string, error) {
	d, err := readDescription(ctx, a, e.file)
	if err != nil {
		return nil, err
	}
	m, err := asMap(d)
	if err != nil {
		return nil, err
	}
	m["kind"] = "anonymous"
	body["environment"] = m
	return urisOf(d), nil
}

// registered is an environment of the registry as the server shows it.
type registered struct {
	env.Description
	User string `json:"user"`
}

// urisOf are the files that a description names.
func urisOf(d *env.Description) []string {
	uris := []string{d.Image.File}
	if d.Preinstall != nil {
		uris = append(uris, d.Preinstall.Archive)
	}
	for _, p := range d.Postinstalls {
		uris = append(uris, p.Archive)
	}
	return uris
}

var numberForm = regexp.MustCompile(`^\d{1,18}$`)

func wholeNumber(text string) (int64, error) {
	if !numberForm.MatchString(text) {
		return 0, errors.New("it must be a whole number")
	}
	var n int64
	for _, c := range text {
		n = n*10 + int64(c-'0')
	}
	return n, nil
}
