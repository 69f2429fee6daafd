package cluster

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kadeploy/coordinator/internal/layout"
)

// Trusted tells which system on a node's disk is trusted (trusted_deployment).
type Trusted struct {
	Partition string // disk0/PROD
	User      string // who must have deployed it; "": anybody
	Envs      []TrustedEnv
}

// TrustedEnv is an environment that is trusted; all are if none is listed.
type TrustedEnv struct{ Name, User string }

// Deployed is what the coordinator's records say of a node before it is touched.
type Deployed struct {
	State         string // deployed, prod_env, ...; "": it was never operated on
	User          string // of the last operation
	Env, EnvOwner string // "": none, or an anonymous one
	Destructive   bool   // the environment asks not to be trusted
}

// settled are the states in which a node runs what was put on it last.
var settled = []string{"deployed", "prod_env", "recorded_env", "rebooted", "powered"}

// Doubt is why the system of a node is not trusted, as far as the records tell; ""
// if they do not speak against it.
func (t *Trusted) Doubt(d Deployed) string {
	switch {
	case t == nil:
		return "the configuration of the cluster trusts no system (trusted_deployment)"
	case d.State == "":
		return "this coordinator has never deployed it"
	case !slices.Contains(settled, d.State):
		return fmt.Sprintf("its state is %s", d.State)
	case t.User != "" && d.User != t.User:
		return fmt.Sprintf("its last operation was of %s, and only what %s does is trusted", d.User, t.User)
	case d.Destructive:
		return fmt.Sprintf("its environment %s is destructive", d.Env)
	case len(t.Envs) > 0 && !t.lists(d.Env, d.EnvOwner):
		return fmt.Sprintf("its environment %q of %q is not one of trusted_deployment.envs", d.Env, d.EnvOwner)
	}
	return ""
}

// Trusts tells whether an environment that a user deploys will be trusted.
func (t *Trusted) Trusts(user, env, owner string) bool {
	return t.Doubt(Deployed{State: "deployed", User: user, Env: env, EnvOwner: owner}) == ""
}

func (t *Trusted) lists(name, owner string) bool {
	return slices.ContainsFunc(t.Envs, func(e TrustedEnv) bool {
		return e.Name == name && (e.User == "" || e.User == owner)
	})
}

// TrustedPlace is the trusted partition: the disk's id, and the partition's role and
// number there, "" and 0 if they are not known.
func (c *Cluster) TrustedPlace() (disk, label string, number int) {
	disk, part := c.Partitioning.DiskID, c.Trusted.Partition
	if at := strings.LastIndex(part, "/"); at > 0 {
		disk, part = part[:at], part[at+1:]
	}
	label, number = c.Partitioning.Partition(part)
	return disk, label, number
}

// Partition finds a partition of the cluster's scheme, by its number or its label.
func (p *Partitioning) Partition(name string) (label string, number int) {
	roles := []layout.Part{
		{Label: p.DeployLabel, Number: p.Deploy}, {Label: "DEPLOY", Number: p.Deploy}, {Label: "SWAP", Number: p.Swap},
		{Label: "PROD", Number: p.Prod}, {Label: "TMP", Number: p.Tmp},
	}
	n, err := strconv.Atoi(name)
	for _, r := range append(layout.On(p.Layout, ""), roles...) {
		if r.Label != "" && (err == nil && r.Number == n || err != nil && strings.EqualFold(r.Label, name)) {
			return r.Label, max(r.Number, 0)
		}
	}
	if err == nil {
		return "", n
	}
	return name, 0
}
