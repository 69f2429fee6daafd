package cli

import (
	"testing"

	"kadeploy/coordinator/internal/workflow"
)

func TestPreviewText(t *testing.T) {
	seconds := func(s float64) *float64 { return &s }
	bytes := int64(512 << 20)
	p := &workflow.Preview{
		User: "alice", Environment: "debian12-min:1", Owner: "root",
		Image: workflow.PreviewImage{File: "server:///images/debian12-min.tar.zst", Kind: "tar", Bytes: &bytes},
		Clusters: []workflow.PreviewCluster{
			{
				Cluster: "lab", Nodes: []string{"node-1.lab", "node-2.lab", "node-3.lab"},
				Erased: []workflow.Erased{{Device: "/dev/vda", Whole: true, By: "create_partition_table"}, {Device: "/dev/vda3", By: "format_deploy_part"}},
				Macros: []workflow.PreviewMacro{
					{Name: "SetDeploymentEnv", Instances: []workflow.PreviewInstance{{
						Name: "SetDeploymentEnvUntrusted", Retries: 2, Timeout: 200, Seconds: seconds(61.25),
						Micros: []workflow.PreviewMicro{{Name: "switch_pxe", Argument: "deploy", Seconds: seconds(0.25), Operations: 3}, {Name: "wait_reboot", Argument: "deploy classical", Seconds: seconds(61), Operations: 3}},
					}}},
					{Name: "BootNewEnv", Instances: []workflow.PreviewInstance{
						{Name: "BootNewEnvKexec", Retries: 1, Seconds: seconds(9), Micros: []workflow.PreviewMicro{{Name: "kexec", Argument: "user", Seconds: seconds(9)}}},
						{Name: "BootNewEnvHardReboot", Timeout: 350, Micros: []workflow.PreviewMicro{{Name: "reboot", Argument: "hard"}}},
					}},
				},
				Seconds: seconds(1070.25),
			},
			{Cluster: "other", Nodes: []string{"o-1.lab"}, Macros: []workflow.PreviewMacro{{Name: "BroadcastEnv", Instances: []workflow.PreviewInstance{{Name: "BroadcastEnvDummy"}}}}},
		},
	}
	golden(t, "preview.txt", previewText(p))
}
