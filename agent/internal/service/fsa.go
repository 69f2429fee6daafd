package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"kadeploy/agent/internal/disk"
	"kadeploy/agent/internal/fault"
	"kadeploy/agent/internal/image"
	"kadeploy/agent/internal/rootfs"
	agentv1 "kadeploy/proto/agent/v1"
)

// Where an archive of fsarchiver is kept until it is restored.
const (
	memoryPlace  = "/run/kadeploy-image"
	scratchPlace = "/mnt/tmp"
	archiveName  = ".kadeploy-image.fsa"

	// spareMemory is left for fsarchiver, whose threads hold blocks of the archive,
	// and for everything else of the mini-OS.
	spareMemory = 384 << 20
)

// fsaSink restores an archive onto partitions.
func (s *Service) fsaSink(ctx context.Context, open *agentv1.FsaSink) (*image.Sink, error) {
	opts := image.FsaOptions{}
	for _, p := range open.Parts {
		device, err := s.host().Resolve(target(p.Target))
		if err != nil {
			return nil, err
		}
		opts.Parts = append(opts.Parts, image.FsaPart{ID: int(p.Id), Device: device.Path})
	}
	point, err := s.fsaPlace(open, opts.Parts)
	if err != nil {
		return nil, err
	}
	opts.Path = filepath.Join(point, archiveName)
	opts.Release = func() error { return rootfs.Unmount(context.WithoutCancel(ctx), point) }
	return image.NewFsaSink(ctx, opts)
}

// fsaPlace mounts a place that has room for the archive: memory, else the scratch partition.
func (s *Service) fsaPlace(open *agentv1.FsaSink, parts []image.FsaPart) (point string, err error) {
	size := int64(open.FileBytes)
	available, err := availableMemory()
	if err != nil {
		return "", err
	}
	if room := available - spareMemory; room > 0 && size <= room {
		m := rootfs.Mount{Source: "tmpfs", Point: memoryPlace, Filesystem: "tmpfs", Options: fmt.Sprintf("size=%d,mode=0700", room)}
		return m.Point, m.Do()
	}
	noRoom := fault.Preconditionf("an fsa image is kept whole while it is restored: its %d bytes do not fit into the node's memory (%d bytes available)", size, available)
	if open.Scratch == nil {
		return "", fmt.Errorf("%w, and the cluster has no tmp partition", noRoom)
	}
	device, err := s.host().Resolve(target(open.Scratch))
	if err != nil {
		return "", fmt.Errorf("%w, and there is no tmp partition: %w", noRoom, err)
	}
	for _, p := range parts {
		if p.Device == device.Path {
			return "", fmt.Errorf("%w, and the tmp partition %s is deployed on", noRoom, device.Path)
		}
	}
	signature, err := disk.Probe(device.Path)
	if err != nil {
		return "", err
	}
	if signature.Type == "" || signature.Type == "swap" {
		return "", fmt.Errorf("%w, and the tmp partition %s has no file system: give it one with -r ext4", noRoom, device.Path)
	}
	m := rootfs.Mount{Source: device.Path, Point: scratchPlace, Filesystem: signature.Type}
	if err := m.Do(); err != nil {
		return "", err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(m.Point, &st); err != nil {
		return "", fmt.Errorf("room on %s: %w", device.Path, err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < size {
		err := fmt.Errorf("%w, and the tmp partition %s has only %d bytes free: format it with -r ext4", noRoom, device.Path, free)
		return "", errors.Join(err, rootfs.Unmount(context.Background(), m.Point))
	}
	return m.Point, nil
}

// availableMemory is what can be used without swapping (proc(5), MemAvailable), in bytes.
func availableMemory() (int64, error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("available memory: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && fields[0] == "MemAvailable:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("available memory: /proc/meminfo does not tell it")
}
