package env

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The values that fields may have.
const (
	kindTar = "tar"
	kindDD  = "dd"
	kindFSA = "fsa"
	osXen   = "xen"
)

func visibilities() []string { return []string{"public", "private", "shared"} }
func systems() []string      { return []string{"linux", osXen, "other"} }
func kinds() []string        { return []string{kindTar, kindDD, kindFSA} }
func compressions() []string { return []string{"gzip", "bzip2", "xz", "zstd", "lz4", "none"} }
func arches() []string       { return []string{"x86_64", "ppc64le", "aarch64"} }

// Validate checks the values of the fields and the rules between them. Parse
// has called it; it is for descriptions that come from elsewhere or were changed.
// Its error is an *Error.
func (d *Description) Validate() error {
	checks := []func() *Error{d.checkValues, d.checkArchives, d.checkBoot, d.checkPartitions, d.checkVariables}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (d *Description) checkValues() *Error {
	if err := first(
		needed("name", d.Name), line("name", d.Name), line("alias", d.Alias),
		among("visibility", d.Visibility, visibilities()),
		among("os", d.OS, systems()),
		needed("image/file", d.Image.File), line("image/file", d.Image.File),
		among("image/kind", d.Image.Kind, kinds()),
		among("image/compression", d.Image.Compression, imageCompressions(d.Image.Kind)),
	); err != nil {
		return err
	}
	if d.Arch != "" {
		if err := among("arch", d.Arch, arches()); err != nil {
			return err
		}
	}
	if d.Version < 0 {
		return invalid("version", fmt.Sprint(d.Version), "whole numbers from 0 on")
	}
	if d.PartitionType < 0 || d.PartitionType > 0xff {
		return invalid("partition_type", fmt.Sprint(d.PartitionType), "0 to 255")
	}
	return nil
}

func imageCompressions(kind string) []string {
	if kind == kindFSA {
		return strings.Split("0123456789", "")
	}
	return compressions()
}

func (d *Description) checkArchives() *Error {
	if d.Preinstall != nil {
		if err := d.Preinstall.check("preinstall"); err != nil {
			return err
		}
	}
	for i := range d.Postinstalls {
		if err := d.Postinstalls[i].check(fmt.Sprintf("postinstalls/%d", i)); err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) check(path string) *Error {
	return first(
		needed(path+"/archive", a.Archive), line(path+"/archive", a.Archive),
		among(path+"/compression", a.Compression, compressions()),
		line(path+"/script", a.Script),
	)
}

// checkBoot checks what it takes to boot: an archive of files does not say it
// itself; a disk image does, unless the deployment must know its partitions.
func (d *Description) checkBoot() *Error {
	if d.Image.Kind == kindTar {
		if err := first(needed("boot/kernel", d.Boot.Kernel), needed("filesystem", d.Filesystem)); err != nil {
			return err
		}
		if d.OS == osXen && d.Boot.Hypervisor == "" {
			return missing("boot/hypervisor")
		}
	}
	if d.Boot.Partition < 0 {
		return invalid("boot/partition", fmt.Sprint(d.Boot.Partition), "whole numbers from 0 on")
	}
	if d.Multipart {
		if d.Boot.BlockDevice == "" {
			return missing("boot/block_device")
		}
		if d.Boot.Partition == 0 {
			return missing("boot/partition")
		}
	}
	return first(
		line("boot/kernel", d.Boot.Kernel), line("boot/initrd", d.Boot.Initrd), line("boot/kernel_params", d.Boot.KernelParams),
		line("boot/hypervisor", d.Boot.Hypervisor), line("boot/hypervisor_params", d.Boot.HypervisorParams),
		line("boot/block_device", d.Boot.BlockDevice), line("filesystem", d.Filesystem),
	)
}

func (d *Description) checkPartitions() *Error {
	if d.Multipart && len(d.Options.Partitions) == 0 {
		return missing("options/partitions")
	}
	if len(d.Options.Layout) > 0 && d.Image.Kind != kindTar {
		return &Error{Field: "options/layout", Reason: fmt.Sprintf("An image of kind %s brings its own file systems: leave the field out", d.Image.Kind)}
	}
	if len(d.Options.Layout) > 0 && d.Multipart {
		return &Error{Field: "options/layout", Reason: "The partitions are given by 'multipart' already: leave one of them out"}
	}
	ids, devices := make(map[int]bool), make(map[string]bool)
	for i, p := range d.Options.Partitions {
		path := fmt.Sprintf("options/partitions/%d", i)
		if err := first(needed(path+"/device", p.Device), line(path+"/device", p.Device)); err != nil {
			return err
		}
		if ids[p.ID] {
			return &Error{Field: path + "/id", Reason: fmt.Sprintf("Duplicate partition, the id %d is already used", p.ID)}
		}
		if devices[p.Device] {
			return &Error{Field: path + "/device", Reason: fmt.Sprintf("Duplicate partition, the device %s is already used", p.Device)}
		}
		ids[p.ID], devices[p.Device] = true, true
	}
	return nil
}

func (d *Description) checkVariables() *Error {
	keys := make([]string, 0, len(d.CustomVariables))
	for key := range d.CustomVariables {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if err := CheckVariable(key, d.CustomVariables[key]); err != nil {
			return &Error{Field: "custom_variables/" + key, Reason: err.Error()}
		}
	}
	return nil
}

// doubts are what is allowed but perhaps not meant.
func (d *Description) doubts() []Warning {
	if !d.Multipart && len(d.Options.Partitions) > 1 {
		return []Warning{{Field: "options/partitions", Text: "Only the first entry of 'options/partitions' is used, since 'multipart' is false"}}
	}
	return nil
}

func first(errs ...*Error) *Error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func missing(field string) *Error { return &Error{Field: field, Reason: "The field is mandatory"} }

func invalid(field, value, allowed string) *Error {
	return &Error{Field: field, Reason: fmt.Sprintf("Invalid value '%s', allowed values are: %s", value, allowed)}
}

func needed(field, value string) *Error {
	if value == "" {
		return missing(field)
	}
	return nil
}

func among(field, value string, allowed []string) *Error {
	if value == "" {
		return missing(field)
	}
	if !slices.Contains(allowed, value) {
		return invalid(field, value, strings.Join(allowed, ", "))
	}
	return nil
}

// line refuses what cannot stand on one line of text: these values become
// arguments, paths, and lines of lists that users read.
func line(field, value string) *Error {
	if !utf8.ValidString(value) {
		return &Error{Field: field, Reason: "Invalid value, it is not UTF-8 text"}
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return &Error{Field: field, Reason: "Invalid value, it contains line breaks or control characters"}
	}
	return nil
}
