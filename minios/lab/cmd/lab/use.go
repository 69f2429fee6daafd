package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kadeploy/minios/lab"
)

func (c *command) power() *cobra.Command {
	return &cobra.Command{
		Use:   "power on|off|cycle|reset|status NODE...",
		Short: "Work the power switch of machines, or print its state (on, off)",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := c.open()
			if err != nil {
				return err
			}
			var errs []error
			for _, node := range args[1:] {
				errs = append(errs, power(cmd.Context(), l, args[0], node))
			}
			return errors.Join(errs...)
		},
	}
}

func power(ctx context.Context, l *lab.Lab, action, node string) error {
	if action != "status" {
		return l.Power(ctx, node, lab.PowerAction(action))
	}
	on, err := l.PowerStatus(ctx, node)
	if err != nil {
		return err
	}
	if on {
		fmt.Println("on")
	} else {
		fmt.Println("off")
	}
	return nil
}

func (c *command) console() *cobra.Command {
	var tail int
	cmd := &cobra.Command{
		Use:   "console NODE",
		Short: "Attach to the serial port of a machine; ctrl-] leaves",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := c.open()
			if err != nil {
				return err
			}
			if tail > 0 {
				text, err := l.ConsoleTail(args[0], tail)
				if err == nil {
					fmt.Println(text)
				}
				return err
			}
			return attach(cmd.Context(), l, args[0])
		},
	}
	cmd.Flags().IntVar(&tail, "tail", 0, "print the last `LINES` of its output instead")
	return cmd
}

func attach(ctx context.Context, l *lab.Lab, node string) error {
	keyboard := int(os.Stdin.Fd())
	if term.IsTerminal(keyboard) {
		fmt.Fprintf(os.Stderr, "attached to %s; ctrl-] leaves\n", node)
		before, err := term.MakeRaw(keyboard)
		if err != nil {
			return fmt.Errorf("set the terminal to raw mode: %w", err)
		}
		defer term.Restore(keyboard, before)
	}
	return l.Attach(ctx, node, os.Stdin, os.Stdout)
}

func (c *command) ssh() *cobra.Command {
	var identity string
	cmd := &cobra.Command{
		Use:   "ssh NODE [COMMAND...]",
		Short: "Log into a machine as root",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := c.open()
			if err != nil {
				return err
			}
			n, err := l.Node(args[0])
			if err != nil {
				return err
			}
			// The keys of these hosts are new after each deployment.
			command := []string{"ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
				"-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10"}
			if identity != "" {
				command = append(command, "-i", identity)
			}
			return l.Exec(append(append(command, "root@"+n.Address.String()), args[1:]...))
		},
	}
	cmd.Flags().StringVarP(&identity, "identity", "i", "", "private key to log in with")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func (c *command) exec() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "exec [--] COMMAND...",
		Short: "Run a command inside the lab's network namespace",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			l, err := c.open()
			if err != nil {
				return err
			}
			return l.Exec(args)
		},
	}
	cmd.Flags().SetInterspersed(false)
	return cmd
}
