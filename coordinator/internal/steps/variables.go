package steps

import (
	"maps"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/layout"
	"kadeploy/coordinator/internal/workflow"
)

// variables are the KADEPLOY_* that scripts on a node find in their environment
// (contract 4.8). Custom ones are taken from the cluster, the description and the
// request, each over the one before.
func (n nodes) variables(t *workflow.Task) map[string]string {
	p := numbers(t)
	target := rootTarget(t) // what scripts mean by the deployed partition, also on a disk that was written as a whole
	v := map[string]string{
		"CLUSTER":                t.Cluster.Name,
		"DEPLOY_PART":            devicePath(t, target),
		"BLOCK_DEVICE":           blockDevice(t),
		"DEPLOY_PART_NUM":        deployNumber(t, int(target.Partition)),
		"SWAP_PART_NUM":          swapNumber(p),
		"PROD_PART_NUM":          orNone(p.Prod),
		"TMP_PART_NUM":           orNone(p.Tmp),
		"PREPOST_EXTRACTION_DIR": n.ArchiveDir,
		"TMP_DIR":                n.TmpDir,
		"VERSION":                n.Version,
		"ENV_EXTRACTION_DIR":     n.ExtractionDir,
	}
	if e := t.Request.Env; e != nil {
		maps.Copy(v, map[string]string{
			"ENV":                   e.Name,
			"ENV_KERNEL":            e.Boot.Kernel,
			"ENV_INITRD":            e.Boot.Initrd,
			"ENV_KERNEL_PARAMS":     kernelParams(t),
			"ENV_HYPERVISOR":        e.Boot.Hypervisor,
			"ENV_HYPERVISOR_PARAMS": e.Boot.HypervisorParams,
			"OS_KIND":               e.OS,
			"PART_TYPE":             strconv.FormatInt(int64(e.PartitionType), 16),
			"FS_TYPE":               e.Filesystem,
		})
	}
	if t.Request.ReformatTmp != "" {
		v["FS_TYPE_TMP"] = t.Request.ReformatTmp
	}
	out := make(map[string]string, len(v))
	for name, value := range v {
		out["KADEPLOY_"+name] = value
	}
	for name, value := range custom(t) {
		out["KADEPLOY_"+name] = value
	}
	return out
}

// custom are the custom variables under the names that users gave them.
func custom(t *workflow.Task) map[string]string {
	v := maps.Clone(t.Cluster.Variables)
	if v == nil {
		v = make(map[string]string)
	}
	if t.Request.Env != nil {
		maps.Copy(v, t.Request.Env.CustomVariables)
	}
	maps.Copy(v, t.Request.Variables)
	return v
}

// kernelParams are the site's parameters, then the environment's.
func kernelParams(t *workflow.Task) string {
	params := t.Cluster.UserParams
	if t.Request.Env != nil {
		params += " " + t.Request.Env.Boot.KernelParams
	}
	return strings.Join(strings.Fields(params), " ")
}

// deployNumber is the number of the partition that is deployed on; if it was chosen
// by a label whose number nobody knows, the label.
func deployNumber(t *workflow.Task, number int) string {
	if number == 0 && t.Request.Partition != "" {
		if _, known := t.Cluster.Partitioning.Partition(t.Request.Partition); known > 0 && t.Request.BlockDevice == "" && !t.Request.OwnLayout() {
			return strconv.Itoa(known)
		}
		return t.Request.Partition
	}
	return strconv.Itoa(number)
}

func swapNumber(p cluster.Partitioning) string {
	if p.DisableSwap {
		return "none"
	}
	return orNone(p.Swap)
}

// numbers is the cluster's scheme, or that of the environment's own layout.
func numbers(t *workflow.Task) cluster.Partitioning {
	p := t.Cluster.Partitioning
	if !t.Request.OwnLayout() {
		return p
	}
	parts := layout.On(t.Request.Layout(t.Cluster), "")
	swap := workflow.SwapParts(parts)
	p.Swap, p.Prod, p.Tmp, p.DisableSwap = -1, -1, -1, len(swap) == 0
	if len(swap) > 0 {
		p.Swap = swap[0].Number
	}
	for label, number := range map[string]*int{"PROD": &p.Prod, "TMP": &p.Tmp} {
		if part, ok := layout.Find(parts, label); ok {
			*number = part.Number
		}
	}
	return p
}

func orNone(number int) string {
	if number <= 0 {
		return "-1"
	}
	return strconv.Itoa(number)
}
