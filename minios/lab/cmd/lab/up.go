package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kadeploy/minios/lab"
)

func (c *command) up() *cobra.Command {
	var o lab.Options
	disk := size(8 << 30)
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Create the network and start the machines, powered off",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Directory, o.DiskBytes, o.Logger = c.directory, int64(disk), c.logger()
			l, err := lab.Up(cmd.Context(), o)
			if err != nil {
				return err
			}
			p := l.Plan()
			fmt.Printf("lab %s is up: %d machines, powered off, in network namespace %s\n", p.Name, len(p.Nodes), p.Namespace)
			fmt.Printf("accelerator: %s (%s)\n", p.Accelerator, p.AcceleratorReason)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Name, "name", "demo", "tells labs on one machine apart")
	f.IntVar(&o.Nodes, "nodes", 3, "number of machines")
	f.Var(&disk, "disk", "size of each disk, sparse; units K, M, G")
	f.IntVar(&o.Disks, "disks", 1, "number of disks of each machine")
	f.BoolVar(&o.SCSI, "scsi", false, "SCSI disks, /dev/sda, instead of virtio ones, /dev/vda")
	f.IntVar(&o.MemoryMiB, "memory", 1024, "MiB of memory of each machine")
	f.BoolVar(&o.UEFI, "uefi", false, "UEFI firmware instead of a BIOS")
	f.StringVar(&o.Accelerator, "accel", lab.Auto, "auto, tcg or kvm; auto is kvm where a guest really runs with it")
	return cmd
}

func (c *command) down() *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "End the machines and remove all that up created",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := c.open()
			if err != nil {
				return err
			}
			return l.Down(cmd.Context())
		},
	}
}

func (c *command) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show the machines and whether they are on",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := c.open()
			if err != nil {
				return err
			}
			table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(table, "NODE\tPOWER\tADDRESS\tMAC\tPID")
			for _, n := range l.Nodes() {
				state := "off"
				if on, err := l.PowerStatus(cmd.Context(), n.Name); err != nil {
					state = "dead" // its QEMU does not answer
					fmt.Fprintln(os.Stderr, "lab:", err)
				} else if on {
					state = "on"
				}
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\n", n.Name, state, n.Address, n.MAC, n.PID())
			}
			return table.Flush()
		},
	}
}

func (c *command) info() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "info",
		Short: "Show what the lab consists of: addresses, consoles, QEMU command lines",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			l, err := c.open()
			if err != nil {
				return err
			}
			p := l.Plan()
			if asJSON {
				return json.NewEncoder(os.Stdout).Encode(p)
			}
			fmt.Printf("name       %s\ndirectory  %s\nnamespace  %s\nbridge     %s, %s\n", p.Name, p.Directory, p.Namespace, p.Bridge, p.Gateway)
			for _, n := range p.Nodes {
				fmt.Printf("\n%s\n  MAC      %s\n  address  %s\n  console  %s\n  QEMU     %s\n", n.Name, n.MAC, n.Address, n.ConsoleLog, n.CommandLine())
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as one JSON object on one line, with the fields of lab.json")
	return cmd
}

// size is a number of bytes as a flag: 8G.
type size int64

func (s *size) Type() string { return "size" }

func (s *size) String() string {
	for _, u := range []struct {
		bytes int64
		name  string
	}{{1 << 30, "G"}, {1 << 20, "M"}, {1 << 10, "K"}} {
		if int64(*s)%u.bytes == 0 {
			return fmt.Sprintf("%d%s", int64(*s)/u.bytes, u.name)
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

func (s *size) Set(text string) error {
	const largest = 1 << 50
	unit := int64(1)
	digits := strings.TrimRight(text, "KMG")
	switch strings.TrimPrefix(text, digits) {
	case "":
	case "K":
		unit = 1 << 10
	case "M":
		unit = 1 << 20
	case "G":
		unit = 1 << 30
	default:
		return fmt.Errorf("%q is not a size such as 8G", text)
	}
	count, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || count <= 0 || count > largest/unit {
		return fmt.Errorf("%q is not a size such as 8G", text)
	}
	*s = size(count * unit)
	return nil
}
