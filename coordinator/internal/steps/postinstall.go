package steps

import (
	"context"
	"fmt"
	"path"
	"strings"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/workflow"
	agentv1 "kadeploy/proto/agent/v1"
)

// archive is a preinstall or a postinstall: a tar that goes to all nodes, and
// the line of a script of it.
type archive struct {
	name        string // for messages: "postinstall 2"
	file        workflow.File
	compression string
	script      string // "", "none": nothing is run
}

// archives sends archives to all nodes and runs their scripts there, one archive
// after the other. A node on which one fails gets no more of them. The directory
// they are unpacked in is not cleaned between them: what a preinstall or the
// site's postinstall left there, the next one finds.
type archives struct {
	nodes
	list func(t *workflow.Task) ([]archive, error)
	then func(ctx context.Context, t *workflow.Task, node string) error // nil: nothing; after the last archive
}

func (s archives) Run(ctx context.Context, t *workflow.Task, report func(node string, err error)) {
	s.settle(ctx, t)
	list, err := s.list(t)
	if err != nil {
		reportAll(t.Nodes, err, report)
		return
	}
	task := *t
	task.Progress = nil // small; the display is the image's
	for _, a := range list {
		task.Nodes = s.one(ctx, &task, a, report)
	}
	if s.then != nil && len(task.Nodes) > 0 {
		single{limit: medium, do: s.then}.Run(ctx, &task, report)
		return
	}
	reportAll(task.Nodes, nil, report)
}

// one does one archive on the nodes of t, reports those that failed and returns the others.
func (s archives) one(ctx context.Context, t *workflow.Task, a archive, report func(node string, err error)) []string {
	open := &agentv1.ReceiveOpen{Name: a.name, Sink: &agentv1.ReceiveOpen_Tar{
		Tar: &agentv1.TarSink{Root: s.ArchiveDir, Compression: a.compression},
	}}
	program, arguments := scriptLine(a.script)
	what := a.name + " (" + program + ")"
	task := *t
	if program == "" {
		return s.collect(t.Nodes, report, func(report func(string, error)) { s.send(ctx, t, a.file, open, report) })
	}
	return s.collect(t.Nodes, report, func(report func(string, error)) {
		task.Nodes = s.began(ctx, t, what, report)
		task.Nodes = s.collect(task.Nodes, report, func(report func(string, error)) { s.send(ctx, &task, a.file, open, report) })
		if len(task.Nodes) == 0 {
			return
		}
		single{limit: long, do: func(ctx context.Context, t *workflow.Task, node string) error {
			return s.run(ctx, t, node, what, &agentv1.RunRequest{
				Path: path.Join(s.ArchiveDir, program), Arguments: arguments, Directory: s.ArchiveDir, Environment: s.variables(t),
			})
		}}.Run(ctx, &task, report)
	})
}

// scriptLine takes the script's name from a line; the rest is for the node's
// shell, as it stands. A name with blanks is in quotes. No name: nothing is run.
func scriptLine(line string) (program, arguments string) {
	line = strings.TrimSpace(line)
	if line == "" || line == "none" {
		return "", ""
	}
	if quote := line[:1]; quote == "'" || quote == `"` {
		if name, rest, closed := strings.Cut(line[1:], quote); closed && (rest == "" || strings.ContainsAny(rest[:1], " \t")) {
			return name, strings.TrimSpace(rest)
		}
	}
	end := strings.IndexAny(line, " \t\n")
	if end < 0 {
		return line, ""
	}
	return line[:end], strings.TrimSpace(line[end:])
}

// preinstalls are the description's, else those of the cluster's site.
func preinstalls(t *workflow.Task) ([]archive, error) {
	pre := t.Request.Env.Preinstall
	if pre == nil {
		return siteArchives(t, "site preinstall", t.Cluster.Preinstalls)
	}
	if t.Request.Files.Preinstall == nil {
		return nil, notFetched("preinstall")
	}
	return []archive{described("preinstall", *t.Request.Files.Preinstall, *pre)}, nil
}

func sitePostinstalls(t *workflow.Task) ([]archive, error) {
	return siteArchives(t, "site postinstall", t.Cluster.Postinstalls)
}

// userPostinstalls are the description's, in its order.
func userPostinstalls(t *workflow.Task) ([]archive, error) {
	var list []archive
	for i, a := range t.Request.Env.Postinstalls {
		name := fmt.Sprintf("postinstall %d", i+1)
		if i >= len(t.Request.Files.Postinstalls) {
			return nil, notFetched(name)
		}
		list = append(list, described(name, t.Request.Files.Postinstalls[i], a))
	}
	return list, nil
}

func described(name string, file workflow.File, a env.Archive) archive {
	return archive{name: name, file: file, compression: a.Compression, script: a.Script}
}

func siteArchives(t *workflow.Task, what string, of []cluster.Archive) ([]archive, error) {
	var list []archive
	for i, a := range of {
		name := fmt.Sprintf("%s %d", what, i+1)
		file, ok := t.Request.Files.Site[a.File]
		if !ok {
			return nil, notFetched(name + " " + a.File)
		}
		list = append(list, archive{name: name, file: file, compression: a.Compression, script: a.Script})
	}
	return list, nil
}

// notFetched can be so for a deployment that an older coordinator began.
func notFetched(what string) error {
	return fmt.Errorf("the %s was not fetched: start the deployment again", what)
}

// checkMounted: a description's preinstall stands in for the steps that make and
// mount file systems. An image without one would be unpacked into the node's memory.
func (n nodes) checkMounted(ctx context.Context, t *workflow.Task, node string) error {
	if t.Request.Env.Preinstall == nil || t.Request.Env.Image.Kind != "tar" {
		return nil
	}
	line := `mountpoint -q "$KADEPLOY_ENV_EXTRACTION_DIR" || { echo "nothing is mounted on $KADEPLOY_ENV_EXTRACTION_DIR: ` +
		`a preinstall has to make the file systems of the image, and to mount them there" >&2; exit 1; }`
	return n.run(ctx, t, node, "after the preinstall", &agentv1.RunRequest{
		What: &agentv1.RunRequest_Command{Command: line}, Environment: n.variables(t),
	})
}
