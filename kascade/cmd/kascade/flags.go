package main

import (
	"github.com/spf13/pflag"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/launch"
)

// groups defines all options, as the help shows them. Names and letters of the original
// are kept.
func (o *options) groups() []group {
	return []group{
		{"What, and where to", o.contentFlags()},
		{"Nodes, in the chain's order", o.nodeFlags()},
		{"Results", o.resultFlags()},
		{"Starting the nodes", o.launchFlags()},
		{"Head and nodes started by hand (-D none)", o.handFlags()},
		{"The chain", o.chainFlags()},
		{"Options of the original Kascade", o.originalFlags()},
	}
}

func flagSet() *pflag.FlagSet {
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.SortFlags = false
	return f
}

func (o *options) contentFlags() *pflag.FlagSet {
	f := flagSet()
	f.StringVarP(&o.input, "input", "i", "", "file or directory `PATH` to send; - for the standard input")
	f.StringVarP(&o.output, "output", "o", "", "where each node puts its copy; a directory's content comes into the directory `PATH`; - (nodes started by hand): standard output")
	f.StringVarP(&o.outputCmd, "output-cmd", "O", "", "instead: shell command `CMD` that each node feeds; a directory comes as a tar archive")
	f.BoolVar(&o.resume, "resume", false, "nodes keep what they verified of a file if the broadcast breaks off, and go on from there next time")
	f.BoolVar(&o.noVerify, "no-verify", false, "send no digests and check nothing: damage is NOT found. For benchmarks and links that you trust")
	return f
}

func (o *options) nodeFlags() *pflag.FlagSet {
	f := flagSet()
	f.StringVarP(&o.nodes, "node", "N", "", "as h1,h2 or node-[1-64]; `NODES` with a port, h1:4000, give a node's data port, which is any free one otherwise")
	f.StringVarP(&o.nodeFile, "node-file", "n", "", "the same in a `FILE`, in any number of lines")
	f.BoolVarP(&o.sort, "sort", "s", false, "put them in natural order, each once")
	f.StringVar(&o.topology, "topology", "", "order by a `FILE` of groups of near nodes, one a line, as in switch-1: node-[1-4]")
	return f
}

func (o *options) resultFlags() *pflag.FlagSet {
	f := flagSet()
	f.StringVarP(&o.ok, "ok", "k", "", "write the nodes that succeeded to `FILE`, as a YAML list")
	f.StringVarP(&o.ko, "ko", "K", "", "write those that failed to `FILE`, as a YAML map from node to reason")
	f.BoolVar(&o.json, "json", false, "progress and result on the standard output, one JSON object a line")
	f.StringVarP(&o.verbose, "verbose", "v", "warn", "messages up to `LEVEL`: fatal, error, warn, info, debug or 0 to 4; from info on with what nodes print")
	return f
}

func (o *options) launchFlags() *pflag.FlagSet {
	f := flagSet()
	f.StringVarP(&o.launcher, "deploy", "D", "ssh", "`LAUNCHER` is ssh (taktuk and clush mean it, too), or none, which --key-file, --no-key, and -m without -i imply")
	f.StringVarP(&o.ssh, "ssh", "S", "ssh", "the `COMMAND` to log in, with options if you like")
	f.StringVarP(&o.params, "params", "P", "", "further `OPTIONS` for it")
	f.IntVar(&o.launchWindow, "launch-window", launch.DefaultWindow, "at most `N` logins at once")
	f.Float64Var(&o.connectTimeout, "connect-timeout", launch.DefaultConnect.Seconds(), "give a host up that is not reached for so many `SECONDS`")
	f.Float64Var(&o.launchTimeout, "launch-timeout", launch.DefaultPatient.Seconds(), "give a host up whose launch makes no progress for so many `SECONDS`")
	f.StringVar(&o.program, "program", "", "copy `FILE` instead of this program, to nodes of another architecture")
	f.StringVar(&o.remoteDir, "remote-dir", "", "put the copy into `DIR` until it runs; otherwise into $TMPDIR, /tmp, /var/tmp, /dev/shm or home")
	return f
}

func (o *options) handFlags() *pflag.FlagSet {
	f := flagSet()
	f.StringVarP(&o.master, "master", "m", "", "node: where the head is; head: `HOST[:PORT]` that it tells nodes")
	f.IntVarP(&o.index, "index", "W", indexUnset, "`INDEX` of this node, from 0; -1: the head. Otherwise by host name and addresses")
	f.Lookup("index").DefValue = "0"
	f.IntVarP(&o.retry, "retry", "r", 10, "so many `SECONDS` a node tries to reach the head, and the head waits for nodes")
	f.StringVarP(&o.retry2, "retry2", "R", "10,0", "`T,N`: once T seconds are over, a node tries N times in all")
	f.Lookup("retry2").DefValue = ""
	f.StringVar(&o.keyFile, "key-file", "", "`FILE` of the key that head and nodes share; else $KASCADE_KEY")
	f.BoolVar(&o.noKey, "no-key", false, "let anyone join")
	return f
}

func (o *options) chainFlags() *pflag.FlagSet {
	f := flagSet()
	f.IntVar(&o.chains, "chains", 1, "let `N` chains start at the head")
	f.StringVar(&o.slow, "slow", kascade.SlowSide.String(), "treat a node that holds up the others as `HOW`: side (it goes on beside them), wait, drop")
	f.Float64Var(&o.slowShare, "slow-share", kascade.DefaultSlowShare, "that is: below this `SHARE` of the rate that the others could have")
	f.Float64Var(&o.slowPatience, "slow-patience", kascade.DefaultSlowPatience.Seconds(), "for so many `SECONDS`")
	f.StringVar(&o.window, "window", "32MiB", "a node holds at most `SIZE` for the next one")
	f.StringVar(&o.compress, "compress", "auto", "lz4 between nodes: `WHEN` is auto, on or off")
	f.BoolVar(&o.encrypt, "encrypt", false, "TLS 1.3 between nodes")
	f.Float64VarP(&o.timeout, "timeout", "t", kascade.DefaultDeadAfter.Seconds(), "a node is dead after so many `SECONDS` of silence")
	f.IntVarP(&o.port, "port", "p", 29015, "the head's `PORT`: the one that nodes dial with -D none; with ssh, if given, that of its data")
	f.BoolVar(&o.adjustPort, "adjust-port", true, "take the next port that is free; --adjust-port=false: fail")
	return f
}

// originalFlags are those that have another sense here, or none: see notes.
func (o *options) originalFlags() *pflag.FlagSet {
	f := flagSet()
	f.IntVarP(&o.bufferSize, "buffer-size", "b", originalBuffer, "`BYTES` times -u are the --window")
	f.IntVarP(&o.buffers, "number-of-buffer", "u", originalBuffers, "`NUMBER`, see -b")
	f.StringVarP(&o.ignored.chunk, "chunk-size", "C", "", "`BUFFERS`: no effect: chunks have 1 MiB")
	f.BoolVarP(&o.ignored.index, "ip", "I", false, "no effect: nodes always find each other by address")
	f.BoolVarP(&o.ignored.check, "no-check", "c", false, "no effect: the head may always be in the list")
	f.BoolVarP(&o.ignored.wait, "wait", "w", false, "no effect: the head always waits for the launcher")
	f.BoolVarP(&o.ignored.remove, "remove", "M", false, "no effect: nothing of kascade ever stays on a node")
	f.BoolVarP(&o.ignored.handshake, "no-handshake", "H", false, "no effect: links are always proved, see --no-key")
	for _, name := range []string{"buffer-size", "number-of-buffer"} {
		f.Lookup(name).DefValue = "0" // not shown
	}
	return f
}
