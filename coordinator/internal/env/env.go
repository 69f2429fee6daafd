// Package env is the description of an environment: an operating-system image
// with what is needed to deploy it (contract section 2). It parses, validates
// and prints descriptions; it never opens the files that they name.
package env

import (
	"maps"
	"slices"

	"kadeploy/coordinator/internal/layout"
)

// Description is one environment. Fields stand in the order in which they are printed.
type Description struct {
	Name            string            `yaml:"name" json:"name"`
	Version         int               `yaml:"version" json:"version"`
	Arch            string            `yaml:"arch,omitempty" json:"arch,omitempty"`
	Alias           string            `yaml:"alias,omitempty" json:"alias,omitempty"`
	Description     string            `yaml:"description,omitempty" json:"description,omitempty"`
	Author          string            `yaml:"author,omitempty" json:"author,omitempty"`
	Visibility      string            `yaml:"visibility" json:"visibility"`
	Destructive     bool              `yaml:"destructive" json:"destructive"`
	OS              string            `yaml:"os" json:"os"`
	Image           Image             `yaml:"image" json:"image"`
	Preinstall      *Archive          `yaml:"preinstall,omitempty" json:"preinstall,omitempty"`
	Postinstalls    []Archive         `yaml:"postinstalls,omitempty" json:"postinstalls,omitempty"`
	Boot            Boot              `yaml:"boot,omitempty" json:"boot"`
	Filesystem      string            `yaml:"filesystem,omitempty" json:"filesystem,omitempty"`
	PartitionType   int               `yaml:"partition_type" json:"partition_type"`
	Multipart       bool              `yaml:"multipart" json:"multipart"`
	Options         Options           `yaml:"options,omitempty" json:"options,omitzero"`
	CustomVariables map[string]string `yaml:"custom_variables,omitempty" json:"custom_variables,omitempty"`
}

// Image is the archive or disk image.
type Image struct {
	File        string `yaml:"file" json:"file"` // URI, contract 2.1
	Kind        string `yaml:"kind" json:"kind"` // tar, dd, fsa
	Compression string `yaml:"compression" json:"compression"`
	Checksum    string `yaml:"-" json:"-"` // of the file as it was registered
}

// Archive is a preinstall or postinstall: a tar archive and the script to run from it.
type Archive struct {
	Archive     string `yaml:"archive" json:"archive"`
	Compression string `yaml:"compression" json:"compression"`
	Script      string `yaml:"script,omitempty" json:"script,omitempty"` // with arguments; "none" runs nothing
	Checksum    string `yaml:"-" json:"-"`
}

// Boot names files inside the image, and their parameters.
type Boot struct {
	Kernel           string `yaml:"kernel,omitempty" json:"kernel,omitempty"`
	Initrd           string `yaml:"initrd,omitempty" json:"initrd,omitempty"`
	KernelParams     string `yaml:"kernel_params,omitempty" json:"kernel_params,omitempty"`
	Hypervisor       string `yaml:"hypervisor,omitempty" json:"hypervisor,omitempty"`
	HypervisorParams string `yaml:"hypervisor_params,omitempty" json:"hypervisor_params,omitempty"`
	BlockDevice      string `yaml:"block_device,omitempty" json:"block_device,omitempty"`
	Partition        int    `yaml:"partition,omitempty" json:"partition,omitempty"`
}

// Options are the less usual parts of a description.
type Options struct {
	Partitions       []Partition   `yaml:"partitions,omitempty" json:"partitions,omitempty"`
	Layout           []layout.Part `yaml:"layout,omitempty" json:"layout,omitempty"` // of the nodes' disks, instead of the cluster's
	Kexec            *bool         `yaml:"kexec,omitempty" json:"kexec,omitempty"`
	TrustPreviousEnv *bool         `yaml:"trust_previous_env,omitempty" json:"trust_previous_env,omitempty"`
}

// Partition maps one partition of a multipart image to a device.
type Partition struct {
	ID     int    `yaml:"id" json:"id"`
	Device string `yaml:"device" json:"device"`
}

// Clone is a copy that shares nothing with d.
func (d *Description) Clone() Description {
	c := *d
	if d.Preinstall != nil {
		pre := *d.Preinstall
		c.Preinstall = &pre
	}
	c.Postinstalls = slices.Clone(d.Postinstalls)
	c.Options.Partitions = slices.Clone(d.Options.Partitions)
	c.Options.Layout = slices.Clone(d.Options.Layout)
	c.CustomVariables = maps.Clone(d.CustomVariables)
	return c
}
