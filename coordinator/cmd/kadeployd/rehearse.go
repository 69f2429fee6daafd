package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/manual"
	"kadeploy/coordinator/internal/rehearse"
)

// rehearsalOptions are the flags of kadeployd rehearse.
type rehearsalOptions struct {
	nodes                int
	clusters             string
	fail, slow, hang     share
	seed                 uint64
	image                size
	bootDelay, diskDelay time.Duration
	limit                time.Duration
	dir                  string
	json                 bool
	verbose              bool
}

func (o *options) rehearse() *cobra.Command {
	r := &rehearsalOptions{image: 16 << 20}
	cmd := &cobra.Command{
		Use:   "rehearse",
		Short: "Deploy on simulated nodes with this coordinator, and tell whether every list is right",
		Long: `Start a coordinator of its own, on ports of the loopback network and with a state of
its own, and deploy an image on nodes that exist only in memory: they fetch their boot
scripts, dial the coordinator, are partitioned and formatted on paper, relay the image
in a chain, and boot. No command of a site is run and no machine is touched.

Without --config a site of its own is rehearsed, whose limits fit machines that need no
time. With --config it is that site: its clusters, nodes, automata, limits and windows;
--nodes then takes only so many of its nodes.

The seed says which nodes die, hang and are slow, and where. At the end every node must
be in the list where it belongs: those with a fatal fault failed, in the step in which
it struck and with a reason that tells it, all others deployed; and nothing may be left
locked. docs/rehearse.md tells more, and what the members of --json mean.

Exit status: 0 every list is right, 1 something is wrong or could not be rehearsed.`,
		Args: manual.Words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.verbose = o.verbose
			if cmd.Flags().Changed("nodes") && r.nodes < 1 {
				return fmt.Errorf("rehearse: --nodes %d: give 1 or more", r.nodes)
			}
			config := ""
			if cmd.Flags().Changed("config") {
				config = o.directory
			}
			return r.run(cmd.Context(), config)
		},
	}
	fs := cmd.Flags()
	fs.IntVar(&r.nodes, "nodes", 0, "`NUMBER` of nodes (1000; with --config all of the site's)")
	fs.StringVar(&r.clusters, "clusters", "", "`NUMBER` of clusters that they are spread over; with --config the names of those to take, separated by commas")
	fs.Var(&r.fail, "fail", "`SHARE` of nodes that die or whose agent fails, as 2%")
	fs.Var(&r.slow, "slow", "`SHARE` of nodes that are slow")
	fs.Var(&r.hang, "hang", "`SHARE` of nodes that stop answering, until they are reset")
	fs.Uint64Var(&r.seed, "seed", 1, "`NUMBER` that says which nodes get a fault, and where")
	fs.Var(&r.image, "image-size", "`SIZE` of the image, as 16MiB")
	fs.DurationVar(&r.bootDelay, "boot-delay", 0, "`TIME` that firmware needs, and each kernel, as 2s")
	fs.DurationVar(&r.diskDelay, "disk-delay", 0, "`TIME` that each thing done to a disk needs")
	fs.DurationVar(&r.limit, "limit", time.Hour, "`TIME` after which a deployment that has not ended is taken for stuck")
	fs.StringVar(&r.dir, "dir", "", "keep the rehearsal's state and logs in `DIRECTORY`, which must not exist or be empty")
	fs.BoolVar(&r.json, "json", false, "print the report as one JSON object")
	return cmd
}

// run rehearses, and reports on the standard output.
func (r *rehearsalOptions) run(ctx context.Context, config string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.limit, fmt.Errorf("stuck: the deployment has not ended within %v", r.limit))
	defer cancel()
	report, err := r.rehearse(ctx, config)
	if err != nil {
		return fmt.Errorf("rehearse: %w", err)
	}
	if r.json {
		err = json.NewEncoder(os.Stdout).Encode(report)
	} else {
		err = report.write(os.Stdout)
	}
	if err == nil && !report.Good {
		err = errors.New("rehearse: the lists are not as they must be")
	}
	return err
}

// machinesCommand is the process that is the machines of a rehearsal.
func machinesCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rehearse-machines", Hidden: true, Short: "Be the machines of a rehearsal", Args: manual.Words(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return rehearse.Serve(cmd.Context(), os.Stdin, os.Stdout, os.Stderr)
		},
	}
}

// machines starts this program as the machines.
func machines(log io.Writer) (func() *exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return func() *exec.Cmd {
		cmd := exec.Command(self, "rehearse-machines")
		cmd.Args[0] = os.Args[0]
		cmd.Stderr = log
		return cmd
	}, nil
}

// share is a part of all, from 0 to 1, written as 2% or 0.02.
type share float64

func (s *share) String() string { return strconv.FormatFloat(100*float64(*s), 'g', -1, 64) + "%" }
func (*share) Type() string     { return "share" }

func (s *share) Set(text string) error {
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return errors.New("give a share from 0% to 100%, as 2%")
	}
	*s = share(v)
	return nil
}

// size is a number of bytes, written as 16MiB.
type size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1}, {"", 1}}

// maxImage bounds what every process of the machines holds in memory.
const maxImage = 4 << 30

func (s *size) String() string {
	for _, u := range sizeUnits {
		if n := int64(*s); n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0"
}
func (*size) Type() string { return "size" }

func (s *size) Set(text string) error {
	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(text, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 1 || n > maxImage/u.bytes {
			break
		}
		*s = size(n * u.bytes)
		return nil
	}
	return errors.New("give a size from 1B to 4GiB, as 16MiB")
}
