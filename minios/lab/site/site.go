// Package site writes the configuration of a coordinator that serves a lab: the
// files that a site's administrator would write by hand, filled in from the
// lab's plan. It starts nothing.
package site

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"kadeploy/minios/lab"
)

//go:embed templates/*
var files embed.FS

// Options say what the site's files name. All are needed; paths are absolute.
type Options struct {
	Plan          lab.Plan
	Directory     string // that is written: the configuration directory
	State         string // where the coordinator keeps database, cache and socket
	MiniOS        string // directory with vmlinuz and initrd.img
	LabCommand    string // the lab program, with which power is switched
	DeploymentKey string // public key that may log in to the mini-OS
}

// Socket is where the coordinator of the site listens for local clients.
func (o Options) Socket() string { return filepath.Join(o.State, "kadeployd.sock") }

// PrivateKey is the private half of DeploymentKey, beside it as ssh-keygen puts it.
func (o Options) PrivateKey() string { return strings.TrimSuffix(o.DeploymentKey, ".pub") }

// KernelParams are kernel arguments, a blank before them, of all that the machines
// boot. Without random addresses (norandmaps) an emulated processor finds the code of a
// program translated when the next process runs it; with them it begins anew, and
// programs start three times as slowly.
func (o Options) KernelParams() string {
	if o.Plan.Accelerator == lab.TCG {
		return " norandmaps"
	}
	return ""
}

// Write makes the directory and the files in it.
func Write(o Options) error {
	for _, p := range []string{o.Directory, o.State, o.MiniOS, o.LabCommand, o.DeploymentKey} {
		if !filepath.IsAbs(p) || strings.ContainsAny(p, " \t\n'\"\\") {
			return fmt.Errorf("write the site's files: path %q must be absolute, without spaces or quotes", p)
		}
	}
	templates, err := template.ParseFS(files, "templates/*")
	if err != nil {
		return fmt.Errorf("write the site's files: %w", err)
	}
	for _, dir := range []string{o.Directory, o.State, filepath.Join(o.State, "cache")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("write the site's files: %w", err)
		}
	}
	for _, t := range templates.Templates() {
		var text bytes.Buffer
		if err := t.Execute(&text, o); err != nil {
			return fmt.Errorf("write %s: %w", t.Name(), err)
		}
		if err := os.WriteFile(filepath.Join(o.Directory, t.Name()), text.Bytes(), 0o644); err != nil {
			return fmt.Errorf("write the site's files: %w", err)
		}
	}
	return nil
}
