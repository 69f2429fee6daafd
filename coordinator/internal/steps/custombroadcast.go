package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// byTheSite has the site's own command send the image to all nodes at once
// (localops.broadcastenv.cmd). It runs on the coordinator's host, and its success is
// that of all nodes: which of them it reached is not known.
func (s sendEnvironment) byTheSite(ctx context.Context, t *workflow.Task) (err error) {
	command := t.Cluster.Broadcast.Line
	if command == "" || s.Site == nil {
		return errors.New("the cluster has no command for it: give localops.broadcastenv.cmd")
	}
	list, err := os.CreateTemp("", "kadeploy-nodes-")
	if err != nil {
		return fmt.Errorf("list the nodes for the site's command: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(list.Name())) }()
	_, err = list.WriteString(strings.Join(t.Nodes, "\n") + "\n")
	if err = errors.Join(err, list.Close()); err != nil {
		return fmt.Errorf("list the nodes for the site's command: %w", err)
	}
	unpack, err := s.unpack(t)
	if err != nil {
		return err
	}
	line := strings.NewReplacer(
		"ENVFILE", quote(t.Request.Files.Image.Path), "NODEFILE", quote(list.Name()),
		"DECOMPRESS", quote(unpack), "TAKTUK_CONNECTOR", quote(s.Connector),
	).Replace(command)
	began := time.Now()
	stdout, stderr, err := s.Site.Run(ctx, line)
	if t.Output != nil {
		for _, node := range t.Nodes {
			t.Output(node, line, stdout, stderr, exitOf(err))
		}
	}
	if err != nil {
		return fmt.Errorf("localops.broadcastenv.cmd: %w", err)
	}
	t.Note(3, fmt.Sprintf("Broadcast time: %.0fs", time.Since(began).Seconds()))
	return nil
}

// unpack is the shell line with which a node consumes the image from its standard input.
func (s sendEnvironment) unpack(t *workflow.Task) (string, error) {
	image := t.Request.Env.Image
	decoder := map[string]string{"none": "cat", "": "cat", "gzip": "gzip -dc", "bzip2": "bzip2 -dc", "xz": "xz -dc", "zstd": "zstd -dc"}[image.Compression]
	if decoder == "" {
		return "", fmt.Errorf("images compressed by %s cannot be sent by the site's command", image.Compression)
	}
	switch image.Kind {
	case "tar":
		return fmt.Sprintf("%s | tar -x -p --numeric-owner -C %s", decoder, s.ExtractionDir), nil
	case "dd":
		return fmt.Sprintf("%s | dd of=%s bs=1M", decoder, devicePath(t, deployTarget(t))), nil
	}
	return "", fmt.Errorf("images of kind %s cannot be sent by the site's command", image.Kind)
}

// decompressEnvironment unpacks an image that the site's command left in the nodes'
// temporary directory, under the name of the file.
type decompressEnvironment struct{ nodes }

func (s decompressEnvironment) do(ctx context.Context, t *workflow.Task, node string) error {
	unpack, err := sendEnvironment(s).unpack(t)
	if err != nil {
		return err
	}
	file := path.Join(s.TmpDir, path.Base(t.Request.Files.Image.Path))
	_, err = s.execute(ctx, t, node, "unpack the image", fmt.Sprintf("set -e; <%s %s; rm -f %s", quote(file), unpack, quote(file)), nil)
	return err
}
