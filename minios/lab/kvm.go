package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// probeTime is how long the probe's guest may take; with KVM it takes 0.2 s. One
// that barely comes through is no accelerator: where KVM is itself emulated, a
// guest may need seconds for its first instructions.
const probeTime = time.Second

// bootSector is a guest of six instructions: it tells QEMU's debug-exit device
// to end the process with the status (0x2a << 1) | 1, and halts.
func bootSector() []byte {
	sector := make([]byte, 512)
	copy(sector, []byte{
		0xba, 0xf4, 0x00, // mov dx, 0xf4
		0xb0, 0x2a, // mov al, 0x2a
		0xee,       // out dx, al
		0xfa,       // cli
		0xf4,       // hlt
		0xeb, 0xfd, // jmp to hlt
	})
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}

const (
	probeStatus = 0x2a<<1 | 1
	// SeaBIOS cannot read an AHCI disk of a single sector.
	probeDiskBytes = 1 << 20
)

// chooseAccelerator resolves Auto, and says why.
func chooseAccelerator(ctx context.Context, wanted, qemu string) (accelerator, reason string) {
	if wanted != Auto {
		return wanted, "asked for"
	}
	if _, err := os.Stat("/dev/kvm"); err != nil {
		return TCG, "there is no /dev/kvm"
	}
	if err := probe(ctx, qemu, KVM, probeTime); err != nil {
		return TCG, "KVM does not work here: " + err.Error()
	}
	return KVM, "a probe guest ran with it"
}

// probe boots a guest that ends itself. Only that proves that an accelerator
// works: /dev/kvm may open, and answer, where no guest ever gets anywhere.
func probe(ctx context.Context, qemu, accelerator string, limit time.Duration) error {
	directory, err := os.MkdirTemp("", "lab-probe-")
	if err != nil {
		return fmt.Errorf("probe guest: %w", err)
	}
	defer os.RemoveAll(directory)
	disk := filepath.Join(directory, "disk")
	if err := errors.Join(os.WriteFile(disk, bootSector(), 0o600), os.Truncate(disk, probeDiskBytes)); err != nil {
		return fmt.Errorf("probe guest: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	output, err := exec.CommandContext(ctx, qemu, "-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "q35", "-accel", accelerator, "-cpu", cpuModel(accelerator), "-m", "128",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=4",
		"-drive", "if=ide,format=raw,readonly=off,file="+disk).CombinedOutput()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("a probe guest did nothing for %s", limit)
	case errors.As(err, &exit) && exit.ExitCode() == probeStatus:
		return nil
	case err == nil:
		return errors.New("a probe guest ended without a word")
	}
	said, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	return fmt.Errorf("a probe guest failed: %w: %s", err, said)
}
