package steps

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/workflow"
)

// kexecScript is the site's script, beside the files of the mini-OS on a node.
const kexecScript = "kexec.script"

// beforeKexec runs the site's command on the coordinator's host before a node is told
// to enter another kernel (kexec.server_precmd). A node whose command fails stays.
func (n nodes) beforeKexec(ctx context.Context, t *workflow.Task, node string) error {
	if t.Cluster.Loading.Before == "" {
		return nil
	}
	if n.Site == nil {
		return errors.New("kexec.server_precmd: there is nothing that runs the site's commands")
	}
	line, err := cluster.ForNode(t.Cluster.Loading.Before, node)
	if err != nil {
		return fmt.Errorf("kexec.server_precmd: %w", err)
	}
	stdout, stderr, err := n.Site.Run(ctx, line)
	if t.Output != nil {
		t.Output(node, line, stdout, stderr, exitOf(err))
	}
	if err != nil {
		return fmt.Errorf("kexec.server_precmd: %w", err)
	}
	return nil
}

// byScript has the site's script load the deployed kernel and enter it. The system is
// still mounted: the script has to leave its file systems clean.
func (s kexec) byScript(ctx context.Context, t *workflow.Task, node string) error {
	boot := t.Request.Env.Boot
	request := s.script(t, t.Cluster.Loading.Script)
	variables := request.Environment
	variables["KADEPLOY_KEXEC_KERNEL"] = path.Join(s.ExtractionDir, boot.Kernel)
	variables["KADEPLOY_KEXEC_INITRD"] = ""
	if boot.Initrd != "" {
		variables["KADEPLOY_KEXEC_INITRD"] = path.Join(s.ExtractionDir, boot.Initrd)
	}
	parameters := kernelParams(t)
	if !strings.Contains(" "+parameters, " root=") {
		root, err := s.rootArgument(ctx, t, node, variables, boot.Initrd != "")
		if err != nil {
			return err
		}
		parameters = strings.TrimSpace(root + " " + parameters)
	}
	variables["KADEPLOY_KEXEC_PARAMS"] = parameters
	return s.run(ctx, t, node, "kexec script", request)
}

// rootArgument names the root to a kernel: by the UUID of its file system, which an
// initrd looks for, or of its partition, which the kernel knows by itself.
func (n nodes) rootArgument(ctx context.Context, t *workflow.Task, node string, variables map[string]string, initrd bool) (string, error) {
	tag, name := "PART_ENTRY_UUID", "PARTUUID"
	if initrd {
		tag, name = "UUID", "UUID"
	}
	line := `blkid -p -o value -s ` + tag + ` "$(readlink -f "$KADEPLOY_DEPLOY_PART")"`
	out, err := n.execute(ctx, t, node, "find the root's UUID", line, variables)
	if err != nil {
		return "", err
	}
	return "root=" + name + "=" + strings.TrimSpace(out), nil
}
