package build

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// localModules are what the program below needs of grub, and no more.
var localModules = strings.Fields("normal memdisk tar search search_fs_file part_gpt part_msdos fat chain boot minicmd echo test")

// localConfig starts the boot loader of the first disk that has one, and ends if there is none.
const localConfig = `for file in /EFI/BOOT/BOOTX64.EFI /EFI/kadeploy/grubx64.efi; do
  if search --no-floppy --set=root --file $file; then
    echo "Kadeploy: starting ($root)$file"
    chainloader ($root)$file
    boot
  fi
done
exit
`

// localBoot makes the program that boots the disk of a UEFI machine: a grub with
// no menu. iPXE of 2019, which QEMU and many network cards have, cannot start what is on a
// disk; and a firmware to which control is given back tries all its other ways to boot
// from the network first, which takes minutes. Nothing is made if the image has no
// grub for UEFI.
func (b *builder) localBoot(ctx context.Context) ([]byte, error) {
	kernel := b.tree.Disk("/usr/lib/grub/x86_64-efi/kernel.img")
	if kernel == "" {
		return nil, nil
	}
	disk, err := memdisk("grub.cfg", localConfig, time.Unix(b.manifest.Epoch, 0))
	if err != nil {
		return nil, err
	}
	from, to := filepath.Join(b.work, "memdisk.tar"), filepath.Join(b.work, LocalFile)
	if err := os.WriteFile(from, disk, 0o600); err != nil {
		return nil, err
	}
	args := append([]string{
		"--directory", filepath.Dir(kernel), "--format", "x86_64-efi", "--memdisk", from, "--prefix", "(memdisk)/", "--output", to,
	}, localModules...)
	if err := b.run(ctx, "/usr/bin/grub-mkimage", "grub-mkimage", args...); err != nil {
		return nil, fmt.Errorf("make %s: %w", LocalFile, err)
	}
	return os.ReadFile(to)
}

// memdisk is a tar of one file.
func memdisk(name, content string, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: at, Format: tar.FormatUSTAR}); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(w, content); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}
