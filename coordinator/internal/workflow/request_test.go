package workflow

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"kadeploy/coordinator/internal/cluster"
	"kadeploy/coordinator/internal/env"
)

func TestOverriddenVariables(t *testing.T) {
	r := &Request{
		Variables: map[string]string{"A": "1", "B": "1", "SAME": "x"},
		Env:       &env.Description{CustomVariables: map[string]string{"A": "2", "C": "2", "SAME": "x"}},
		Clusters:  []ClusterNodes{{Cluster: &cluster.Cluster{Name: "lab", Variables: map[string]string{"B": "3", "C": "3", "D": "3"}}}},
	}
	want := []string{
		"Warning: the custom variable A of the command line overrides that of the environment",
		"Warning: the custom variable B of the command line overrides that of the cluster lab",
		"Warning: the custom variable C of the environment overrides that of the cluster lab",
	}
	if diff := cmp.Diff(want, r.OverriddenVariables()); diff != "" {
		t.Error(diff)
	}
	if lines := (&Request{Kind: Reboot, Clusters: r.Clusters}).OverriddenVariables(); len(lines) > 0 {
		t.Errorf("a reboot: %v", lines)
	}
}

func TestSiteArchives(t *testing.T) {
	site := &cluster.Cluster{Preinstalls: []cluster.Archive{{File: "/a"}, {File: "/b"}}, Postinstalls: []cluster.Archive{{File: "/b"}, {File: "/c"}}}
	r := &Request{Env: &env.Description{}, Clusters: []ClusterNodes{{Cluster: site}, {Cluster: site}}}
	if diff := cmp.Diff([]string{"/a", "/b", "/c"}, r.SiteArchives()); diff != "" {
		t.Error(diff)
	}
	r.Env.Preinstall = &env.Archive{}
	if diff := cmp.Diff([]string{"/b", "/c"}, r.SiteArchives()); diff != "" {
		t.Errorf("with a preinstall of the description: %s", diff)
	}
}
