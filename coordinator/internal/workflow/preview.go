package workflow

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/layout"
)

// Preview is what a deployment would do: its plan, for people and programs to read
// before it is done. Where a number is nil, nobody knows it.
type Preview struct {
	User        string           `json:"user"`
	Environment string           `json:"environment"` // NAME:VERSION
	Owner       string           `json:"environment_user"`
	Resumes     string           `json:"resumes,omitempty"` // the deployment whose failed nodes are done again
	Files       []string         `json:"files,omitempty"`   // of such a one: all that is fetched again, as it was named
	Image       PreviewImage     `json:"image"`
	Clusters    []PreviewCluster `json:"clusters"`
}

// PreviewImage is what is written to the nodes.
type PreviewImage struct {
	File    string `json:"file"`
	Kind    string `json:"kind"`
	Bytes   *int64 `json:"bytes"`
	Problem string `json:"problem,omitempty"` // why it could not be looked at
}

// PreviewCluster is the part of one cluster.
type PreviewCluster struct {
	Cluster string         `json:"cluster"`
	Nodes   []string       `json:"nodes"`
	Ready   []string       `json:"ready,omitempty"` // begin in BroadcastEnv, as they are still in the mini-OS
	Erased  []Erased       `json:"erased"`
	Layout  []layout.Part  `json:"layout,omitempty"` // partitions that are made; absent: by the site's script, the built-in scheme, or none
	Macros  []PreviewMacro `json:"macrosteps"`
	Seconds *float64       `json:"expected_seconds"` // if each macro-step goes well the first way
}

// Erased is a disk or a partition whose content is lost.
type Erased struct {
	Device string `json:"device"`
	Whole  bool   `json:"whole_disk"`
	By     string `json:"by"` // micro-step
}

// PreviewMacro is one macro-step, with the ways to do it in the order in which they are tried.
type PreviewMacro struct {
	Name      string            `json:"name"`
	Instances []PreviewInstance `json:"instances"`
}

// PreviewInstance is one way to do a macro-step.
type PreviewInstance struct {
	Name     string         `json:"name"`
	Retries  int            `json:"retries"`
	Timeout  int            `json:"timeout"` // seconds; 0: none
	Micros   []PreviewMicro `json:"microsteps"`
	Bypassed []string       `json:"bypassed"` // micro-steps that the request makes useless
	Seconds  *float64       `json:"expected_seconds"`
}

// PreviewMicro is one micro-step.
type PreviewMicro struct {
	Name       string   `json:"name"`
	Argument   string   `json:"argument,omitempty"`
	Seconds    *float64 `json:"expected_seconds"` // median over what it took before
	Operations int      `json:"operations"`       // that the expectation is from
}

// NewPreview makes the preview of a deployment, without the size of its image and
// without expectations. Errors are *Failure.
func NewPreview(req *Request) (*Preview, error) {
	if req.Kind != Deploy || req.Env == nil {
		return nil, failure(7, "only a deployment of an environment has a preview")
	}
	p := &Preview{User: req.User, Owner: req.EnvOwner, Resumes: req.Resumes, Clusters: []PreviewCluster{}}
	for _, part := range req.Clusters {
		plan, err := NewPlan(req, part)
		if err != nil {
			return nil, err
		}
		c := PreviewCluster{Cluster: part.Cluster.Name, Nodes: part.Nodes, Ready: readyOf(req, part)}
		if len(c.Ready) == len(c.Nodes) {
			plan.Macros = plan.Macros[1:] // nobody goes through it
		}
		c.Erased = erased(req, part.Cluster, plan)
		for _, m := range plan.Macros {
			c.Macros = append(c.Macros, previewMacro(m))
		}
		if slices.ContainsFunc(c.Erased, func(e Erased) bool { return e.By == CreatePartitionTable }) {
			c.Layout = req.Layout(part.Cluster)
		}
		p.Clusters = append(p.Clusters, c)
	}
	p.Environment = fmt.Sprintf("%s:%d", req.Env.Name, req.Env.Version)
	p.Image = PreviewImage{File: req.Env.Image.File, Kind: req.Env.Image.Kind}
	if req.Resumes != "" {
		p.Files = req.URIs()
	}
	return p, nil
}

func readyOf(req *Request, part ClusterNodes) []string {
	return slices.DeleteFunc(slices.Clone(part.Nodes), func(n string) bool { return !slices.Contains(req.Ready, n) })
}

func previewMacro(m Macro) PreviewMacro {
	out := PreviewMacro{Name: m.Name}
	for _, in := range m.Instances {
		one := PreviewInstance{
			Name: in.Name, Retries: in.Retries, Timeout: int(in.Timeout.Seconds()),
			Micros: []PreviewMicro{}, Bypassed: append([]string{}, in.Bypassed...),
		}
		for _, micro := range in.Micros {
			one.Micros = append(one.Micros, PreviewMicro{Name: micro.Name, Argument: micro.Argument})
		}
		out.Instances = append(out.Instances, one)
	}
	return out
}

// Expect fills in the times: ask tells how long a micro-step is expected to take, from
// how many operations before that is known, of which none means that it is not.
func (p *Preview) Expect(ask func(cluster, instance, micro string) (seconds float64, operations int, err error)) error {
	for ci := range p.Clusters {
		c := &p.Clusters[ci]
		var firsts []*float64
		for mi := range c.Macros {
			for ii := range c.Macros[mi].Instances {
				in := &c.Macros[mi].Instances[ii]
				var all []*float64
				for k := range in.Micros {
					m := &in.Micros[k]
					seconds, operations, err := ask(c.Cluster, in.Name, m.Name)
					if err != nil {
						return err
					}
					if m.Operations = operations; operations > 0 {
						m.Seconds = &seconds
					}
					all = append(all, m.Seconds)
				}
				if in.Seconds = sum(all); ii == 0 {
					firsts = append(firsts, in.Seconds)
				}
			}
		}
		c.Seconds = sum(firsts)
	}
	return nil
}

// sum is nil if one of the terms is.
func sum(terms []*float64) *float64 {
	total := 0.0
	for _, t := range terms {
		if t == nil {
			return nil
		}
		total += *t
	}
	return &total
}

// erased is all whose content a plan may destroy, by the first way that does it.
func erased(req *Request, cl *cluster.Cluster, plan *Plan) []Erased {
	disk := cmp.Or(req.BlockDevice, cl.Partitioning.BlockDevice)
	list := []Erased{}
	add := func(e Erased) {
		if !slices.ContainsFunc(list, func(o Erased) bool { return o.Device == e.Device }) {
			list = append(list, e)
		}
	}
	for _, m := range plan.Macros {
		for _, in := range m.Instances {
			for _, micro := range in.Micros {
				switch micro.Name {
				case CreatePartitionTable:
					add(Erased{disk, true, micro.Name})
					for _, other := range layout.Disks(req.Layout(cl)) {
						if other != "" {
							add(Erased{other, true, micro.Name})
						}
					}
				case FormatTmpPart:
					add(Erased{partitionOf(disk, strconv.Itoa(cl.Partitioning.Tmp)), false, micro.Name})
				case FormatSwapPart:
					if parts := SwapParts(req.Layout(cl)); parts != nil {
						for _, p := range parts {
							add(Erased{partitionOf(cmp.Or(p.Disk, disk), strconv.Itoa(p.Number)), false, micro.Name})
						}
						break
					}
					add(Erased{partitionOf(disk, strconv.Itoa(cl.Partitioning.Swap)), false, micro.Name})
				case FormatDeployPart, SendEnvironment:
					for _, e := range destinations(req, cl, disk) {
						e.By = micro.Name
						add(e)
					}
				}
			}
		}
	}
	return list
}

// destinations are where the environment goes.
func destinations(req *Request, cl *cluster.Cluster, disk string) []Erased {
	if req.WholeDisk() {
		return []Erased{{Device: disk, Whole: true}}
	}
	list := []Erased{{Device: partitionOf(disk, strconv.Itoa(req.Place(cl).Number))}}
	if _, err := strconv.Atoi(req.Partition); req.Partition != "" && err != nil {
		list[0].Device = cmp.Or(req.BlockDevice, cl.Partitioning.DiskID, disk) + "/" + req.Partition
	}
	for _, p := range req.Layout(cl) {
		if req.Env.Image.Kind == "tar" && p.Filesystem != "" && p.Filesystem != layout.Swap {
			list = append(list, Erased{Device: partitionOf(cmp.Or(p.Disk, disk), strconv.Itoa(p.Number))})
		}
	}
	if req.Env.Multipart {
		for _, p := range req.Env.Options.Partitions {
			list = append(list, Erased{Device: p.Device})
		}
	}
	return list
}

// partitionOf follows the kernel's rule: sda3, nvme0n1p3; so do disk ids: disk0p3.
func partitionOf(disk, number string) string {
	if disk != "" && disk[len(disk)-1] >= '0' && disk[len(disk)-1] <= '9' {
		return disk + "p" + number
	}
	return disk + number
}
