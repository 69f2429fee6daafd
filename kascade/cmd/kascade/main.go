// Kascade puts one file on many hosts through a chain of TCP connections. It is wiring
// only: options, the head's and the node's part, progress and reports.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes (contract 8.2).
const (
	exitOK        = 0
	exitFatal     = 1 // or every node failed
	exitSome      = 2 // some nodes failed
	exitImpatient = 3 // ^C again
)

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		cancel(fmt.Errorf("%v", s))
		<-signals
		os.Exit(exitImpatient)
	}()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// exitError is an outcome that was reported already, and its code.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// run is the whole program but for the process.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	o := &options{in: in, out: out, errs: errs}
	cmd := o.command()
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(errs)
	err := cmd.ExecuteContext(ctx)
	var code exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(errs, "kascade:", err)
	return exitFatal
}

func (o *options) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kascade -D none -N h1,h2,... (-i FILE | -o FILE | -O CMD) [options]",
		Short: "Put one file on many hosts through a chain of TCP connections",
		Long: `Put one file on many hosts through a chain of TCP connections.

One process is the head, each of the others is a node; all get the same list of
nodes. On the host that has the file:
    kascade -D none -N h1,h2,h3 -i FILE --key-file KEY
and on each of h1, h2 and h3:
    kascade -D none -N h1,h2,h3 -m HEAD -o FILE --key-file KEY
They may be started in any order, within --retry seconds of each other.

Exit codes of the head: 0 every node has a verified copy; 2 some nodes failed;
1 all of them failed, or the head itself; 3 after a second ^C. Of a node: 0 or 1.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if o.isHead() {
				return o.runHead(cmd.Context())
			}
			return o.runNode(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.input, "input", "i", "", "`FILE` to broadcast, - for the standard input; makes this process the head")
	f.StringVarP(&o.output, "output", "o", "", "`FILE` in which a node puts its copy, - for the standard output")
	f.StringVarP(&o.outputCmd, "output-cmd", "O", "", "shell `CMD` that a node feeds with its copy")
	f.StringVarP(&o.nodeFile, "node-file", "n", "", "`FILE` with the nodes, one a line, in the chain's order")
	f.StringVarP(&o.nodes, "node", "N", "", "nodes `h1,h2,...` in the chain's order")
	f.BoolVarP(&o.sort, "sort", "s", false, "put the nodes in natural order, each once")
	f.IntVarP(&o.index, "index", "W", indexUnset, "which of the nodes this process is, from 0; -1: the head. Otherwise found by host name and addresses")
	f.StringVarP(&o.master, "master", "m", "", "`HOST[:PORT]` of the head, for nodes")
	f.IntVarP(&o.port, "port", "p", 29015, "port of the head")
	f.StringVarP(&o.launcher, "deploy", "D", "none", "launcher; none: head and nodes are started by hand")
	f.IntVarP(&o.retry, "retry", "r", 10, "seconds for which a node tries to reach the head, and the head waits for the nodes")
	f.StringVar(&o.keyFile, "key-file", "", "`FILE` with the key that head and nodes share; else $KASCADE_KEY")
	f.BoolVar(&o.noKey, "no-key", false, "let anyone join")
	f.StringVarP(&o.ok, "ok", "k", "", "`FILE` for the nodes that succeeded, as a YAML list")
	f.StringVarP(&o.ko, "ko", "K", "", "`FILE` for those that failed, as a YAML map from name to reason")
	f.StringVarP(&o.verbose, "verbose", "v", "warn", "log level: fatal, error, warn, info, debug or 0 to 4")
	f.BoolVar(&o.json, "json", false, "print progress and result of the head as JSON objects, one a line, on the standard output")
	cmd.AddCommand(o.benchCommand())
	cmd.CompletionOptions.DisableDefaultCmd = true
	return cmd
}
