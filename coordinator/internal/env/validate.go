package env

import (
	"fmt"
	"maps"
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
// Its error is an *Error, with all that is wrong.
func (d *Description) Validate() error {
	if err := joined(d.problems()); err != nil {
		return err
	}
	return nil
}

// problems are what is wrong with the description, in the order of its fields.
func (d *Description) problems() []*Error {
	return slices.Concat(d.checkValues(), d.checkArchives(), d.checkBoot(), d.checkPartitions(), d.checkVariables())
}

func (d *Description) checkValues() []*Error {
	list := wrong(
		first(needed("name", d.Name), line("name", d.Name)), line("alias", d.Alias),
		among("visibility", d.Visibility, visibilities()),
		among("os", d.OS, systems()),
		first(needed("image/file", d.Image.File), line("image/file", d.Image.File)),
		among("image/kind", d.Image.Kind, kinds()),
		among("image/compression", d.Image.Compression, imageCompressions(d.Image.Kind)),
	)
	if d.Arch != "" {
		list = append(list, wrong(among("arch", d.Arch, arches()))...)
	}
	if d.Version < 0 {
		list = append(list, invalid("version", fmt.Sprint(d.Version), "whole numbers from 0 on"))
	}
	if d.PartitionType < 0 || d.PartitionType > 0xff {
		list = append(list, invalid("partition_type", fmt.Sprint(d.PartitionType), "0 to 255"))
	}
	return list
}

func imageCompressions(kind string) []string {
	if kind == kindFSA {
		return strings.Split("0123456789", "")
	}
	return compressions()
}

func (d *Description) checkArchives() []*Error {
	var list []*Error
	if d.Preinstall != nil {
		list = d.Preinstall.check("preinstall")
	}
	for i := range d.Postinstalls {
		list = append(list, d.Postinstalls[i].check(fmt.Sprintf("postinstalls/%d", i))...)
	}
	return list
}

func (a *Archive) check(path string) []*Error {
	return wrong(
		first(needed(path+"/archive", a.Archive), line(path+"/archive", a.Archive)),
		among(path+"/compression", a.Compression, compressions()),
		first(line(path+"/script", a.Script), closed(path+"/script", a.Script)),
	)
}

// checkBoot checks what it takes to boot: an archive of files does not say it
// itself; a disk image does, unless the deployment must know its partitions.
func (d *Description) checkBoot() []*Error {
	var list []*Error
	if d.Image.Kind == kindTar {
		list = wrong(needed("boot/kernel", d.Boot.Kernel), needed("filesystem", d.Filesystem))
		if d.OS == osXen && d.Boot.Hypervisor == "" {
			list = append(list, missing("boot/hypervisor"))
		}
	}
	if d.Boot.Partition < 0 {
		list = append(list, invalid("boot/partition", fmt.Sprint(d.Boot.Partition), "whole numbers from 0 on"))
	}
	if d.Multipart && d.Boot.BlockDevice == "" {
		list = append(list, missing("boot/block_device"))
	}
	if d.Multipart && d.Boot.Partition == 0 {
		list = append(list, missing("boot/partition"))
	}
	return append(list, wrong(
		line("boot/kernel", d.Boot.Kernel), line("boot/initrd", d.Boot.Initrd), line("boot/kernel_params", d.Boot.KernelParams),
		line("boot/hypervisor", d.Boot.Hypervisor), line("boot/hypervisor_params", d.Boot.HypervisorParams),
		line("boot/block_device", d.Boot.BlockDevice), line("filesystem", d.Filesystem),
	)...)
}

func (d *Description) checkPartitions() []*Error {
	var list []*Error
	if d.Multipart && len(d.Options.Partitions) == 0 {
		list = append(list, missing("options/partitions"))
	}
	if len(d.Options.Layout) > 0 && d.Image.Kind != kindTar {
		list = append(list, &Error{Field: "options/layout", Reason: fmt.Sprintf("An image of kind %s brings its own file systems: leave the field out", d.Image.Kind)})
	}
	if len(d.Options.Layout) > 0 && d.Multipart {
		list = append(list, &Error{Field: "options/layout", Reason: "The partitions are given by 'multipart' already: leave one of them out"})
	}
	ids, devices := make(map[int]bool), make(map[string]bool)
	for i, p := range d.Options.Partitions {
		path := fmt.Sprintf("options/partitions/%d", i)
		list = append(list, wrong(first(needed(path+"/device", p.Device), line(path+"/device", p.Device)))...)
		if ids[p.ID] {
			list = append(list, &Error{Field: path + "/id", Reason: fmt.Sprintf("Duplicate partition, the id %d is already used", p.ID)})
		}
		if devices[p.Device] && p.Device != "" {
			list = append(list, &Error{Field: path + "/device", Reason: fmt.Sprintf("Duplicate partition, the device %s is already used", p.Device)})
		}
		ids[p.ID], devices[p.Device] = true, true
	}
	return list
}

func (d *Description) checkVariables() []*Error {
	var list []*Error
	for _, key := range slices.Sorted(maps.Keys(d.CustomVariables)) {
		if err := CheckVariable(key, d.CustomVariables[key]); err != nil {
			list = append(list, &Error{Field: "custom_variables/" + key, Reason: err.Error()})
		}
	}
	return list
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

// wrong leaves out what is right.
func wrong(errs ...*Error) []*Error {
	return slices.DeleteFunc(errs, func(e *Error) bool { return e == nil })
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
