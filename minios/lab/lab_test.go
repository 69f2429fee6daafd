package lab_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kadeploy/minios/lab"
	"kadeploy/minios/lab/labtest"
)

// firmwareTime is what a machine may take to its first text, on a loaded host; 1.5 s on an idle one.
const firmwareTime = 30 * time.Second

func checkPower(t *testing.T, l *lab.Lab, node string, want bool) {
	t.Helper()
	on, err := l.PowerStatus(t.Context(), node)
	if err != nil || on != want {
		t.Errorf("PowerStatus(%s) = %t, %v; want %t", node, on, err, want)
	}
}

func power(t *testing.T, l *lab.Lab, node string, action lab.PowerAction) {
	t.Helper()
	if err := l.Power(t.Context(), node, action); err != nil {
		t.Fatal(err)
	}
}

func TestPower(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Options{Nodes: 2, DiskBytes: 64 << 20, MemoryMiB: 256})
	checkPower(t, l, "node-1", false)
	checkPower(t, l, "node-2.lab", false)
	if err := l.Power(t.Context(), "node-1", lab.PowerReset); err == nil || !strings.Contains(err.Error(), "is off") {
		t.Errorf("reset of a machine that is off: %v, want an error that says so", err)
	}
	power(t, l, "node-1", lab.PowerOff)

	power(t, l, "node-1", lab.PowerOn)
	power(t, l, "node-1", lab.PowerOn)
	checkPower(t, l, "node-1", true)
	checkPower(t, l, "node-2", false)
	labtest.AwaitConsole(t, l, "node-1", "SeaBIOS", 1, firmwareTime)

	power(t, l, "node-1", lab.PowerReset)
	labtest.AwaitConsole(t, l, "node-1", "SeaBIOS", 2, firmwareTime)

	power(t, l, "node-1", lab.PowerCycle)
	labtest.AwaitConsole(t, l, "node-1", "SeaBIOS", 3, firmwareTime)
	power(t, l, "node-1", lab.PowerOff)
	checkPower(t, l, "node-1", false)

	if output, err := os.ReadFile(l.Nodes()[1].ConsoleLog); len(output) != 0 {
		t.Errorf("a machine that was never on wrote %q (%v)", output, err)
	}
	for _, action := range []lab.PowerAction{"", "up"} {
		if err := l.Power(t.Context(), "node-1", action); err == nil {
			t.Errorf("power action %q is accepted", action)
		}
	}
	if err := l.Power(t.Context(), "node-3", lab.PowerOn); err == nil || !strings.Contains(err.Error(), "node-1.lab to node-2.lab") {
		t.Errorf("power of an unknown machine: %v, want an error that lists the known ones", err)
	}
	if err := l.Execute(t.Context(), "node-1", "no-such-command"); err == nil || !strings.Contains(err.Error(), "CommandNotFound") {
		t.Errorf("unknown QMP command: %v, want QEMU's error", err)
	}
}

// powerOffSector makes the guest power itself off: SeaBIOS puts the power
// management registers of the ICH9 at 0x600; sleep type 0 with the enable bit
// in PM1_CNT, 4 bytes further, is S5 in QEMU's tables.
func powerOffSector() []byte {
	sector := make([]byte, 512)
	copy(sector, []byte{
		0xba, 0x04, 0x06, // mov dx, 0x604
		0xb8, 0x00, 0x20, // mov ax, 0x2000
		0xef, // out dx, ax
		0xf4, // hlt
	})
	sector[510], sector[511] = 0x55, 0xaa
	return sector
}

// A machine boots from the network first: it is iPXE that one meets on the
// console, and talks to. What it falls back to, the disk, powers the machine off.
func TestConsoleAndGuestPowerOff(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Options{Nodes: 1, DiskBytes: 64 << 20, MemoryMiB: 256})
	disk, err := os.OpenFile(l.Nodes()[0].Disk, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Write(powerOffSector()); err != nil {
		t.Fatal(err)
	}
	disk.Close()

	keyboard, keys := io.Pipe()
	var screen bytes.Buffer
	attached := make(chan error, 1)
	go func() { attached <- l.Attach(t.Context(), "node-1", keyboard, &screen) }()
	if _, err := keys.Write([]byte{}); err != nil { // returns when Attach reads: it is connected
		t.Fatal(err)
	}
	if err := l.Attach(t.Context(), "node-1", strings.NewReader(""), io.Discard); err == nil || !strings.Contains(err.Error(), "attached already") {
		t.Errorf("second Attach: %v, want an error that says that somebody is attached", err)
	}
	power(t, l, "node-1", lab.PowerOn)
	labtest.AwaitConsole(t, l, "node-1", "for the iPXE command line", 1, firmwareTime)
	keys.Write([]byte{'b' & 0x1f})
	labtest.AwaitConsole(t, l, "node-1", "iPXE>", 1, firmwareTime)
	io.WriteString(keys, "exit\r")
	labtest.Await(t, firmwareTime, "power-off by the guest", func() bool {
		on, err := l.PowerStatus(t.Context(), "node-1")
		return err == nil && !on
	})
	keys.Write([]byte{lab.Leave})
	if err := <-attached; err != nil {
		t.Errorf("Attach ended with %v", err)
	}
	if !strings.Contains(screen.String(), "iPXE>") {
		t.Errorf("the attached terminal saw %q, without iPXE's prompt", screen.String())
	}
	if tail, err := l.ConsoleTail("node-1", 3); err != nil || !strings.Contains(tail, "Booting from Hard Disk") || strings.Count(tail, "\n") > 2 {
		t.Errorf("ConsoleTail of 3 lines = %q, %v; want the boot from the disk in it", tail, err)
	}
	power(t, l, "node-1", lab.PowerOn)
	checkPower(t, l, "node-1", true)
	labtest.AwaitConsole(t, l, "node-1", "SeaBIOS", 2, firmwareTime)
}

func TestNamespace(t *testing.T) {
	t.Parallel()
	l := labtest.Up(t, lab.Options{Nodes: 1, DiskBytes: 64 << 20, MemoryMiB: 128})
	// The coordinator's address exists in there, and not out here.
	var listener net.Listener
	if err := l.Inside(func() (err error) {
		listener, err = net.Listen("tcp", "10.42.0.1:0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if connection, err := listener.Accept(); err == nil {
			io.WriteString(connection, "inside")
			connection.Close()
		}
	}()
	connection, err := l.Dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if said, err := io.ReadAll(connection); string(said) != "inside" || err != nil {
		t.Errorf("read %q, %v through the namespace, want \"inside\"", said, err)
	}
	if outside, err := net.Listen("tcp", "10.42.0.1:0"); err == nil {
		outside.Close()
		t.Error("the lab's address exists outside of its namespace")
	}
	var output bytes.Buffer
	list := exec.CommandContext(t.Context(), "ip", "-o", "link")
	list.Stdout = &output
	if err := l.Run(list); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"lo:", "lab0:", "node-1:"} {
		if !strings.Contains(output.String(), link) {
			t.Errorf("no link %s inside: %s", link, output.String())
		}
	}
}

func TestDownLeavesNothing(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "lab")
	options := lab.Options{Directory: directory, Nodes: 2, DiskBytes: 64 << 20, MemoryMiB: 128, UEFI: true}
	l := labtest.Up(t, options)
	pids := []int{l.Nodes()[0].PID(), l.Nodes()[1].PID()}
	power(t, l, "node-2", lab.PowerOn)

	again := options
	again.Name, again.Accelerator = "test-again", lab.TCG
	if _, err := lab.Up(t.Context(), again); err == nil || !strings.Contains(err.Error(), "lab down --dir "+directory) {
		t.Errorf("second Up in one directory: %v, want an error that names the remedy", err)
	}
	again.Name, again.Directory = l.Plan().Name, t.TempDir()
	if _, err := lab.Up(t.Context(), again); err == nil || !strings.Contains(err.Error(), "choose another name") {
		t.Errorf("second Up with one name: %v, want an error that names the remedy", err)
	}

	opened, err := lab.Open(directory, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	checkNothingLeft(t, l, pids)
}

func checkNothingLeft(t *testing.T, l *lab.Lab, pids []int) {
	t.Helper()
	p := l.Plan()
	for _, path := range []string{p.Directory, "/run/netns/" + p.Namespace} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
	for i, pid := range pids {
		if pid == 0 {
			t.Errorf("%s had no process", p.Nodes[i].Name)
		}
		if l.Nodes()[i].PID() != 0 {
			t.Errorf("process %d of %s is left", pid, p.Nodes[i].Name)
		}
	}
}

func TestInterruptedUpLeavesNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("a lab needs root")
	}
	directory := filepath.Join(t.TempDir(), "lab")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	name := "test-cut-" + strconv.Itoa(os.Getpid())
	_, err := lab.Up(ctx, lab.Options{Directory: directory, Name: name, Nodes: 2, DiskBytes: 64 << 20, Accelerator: lab.TCG})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Up = %v, want that it was canceled", err)
	}
	for _, path := range []string{directory, "/run/netns/lab-" + name} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
}

// A process number that was recorded may belong to somebody else by now.
func TestDownSparesStrangers(t *testing.T) {
	p, err := lab.NewPlan(lab.Options{Directory: filepath.Join(t.TempDir(), "lab"), Name: "stranger", Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Create(); err != nil {
		t.Fatal(err)
	}
	stranger := exec.CommandContext(t.Context(), "sleep", "60")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stranger.Wait() }()
	if err := os.MkdirAll(filepath.Dir(p.Nodes[0].PIDFile), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.Nodes[0].PIDFile, []byte(strconv.Itoa(stranger.Process.Pid)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var warnings bytes.Buffer
	l, err := lab.Open(p.Directory, slog.New(slog.NewTextHandler(&warnings, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		t.Errorf("Down ended a process that is not the lab's: %v", err)
	default:
	}
	if !strings.Contains(warnings.String(), "left alone") {
		t.Errorf("Down did not say that it left the process alone: %q", warnings.String())
	}
}

func TestProbe(t *testing.T) {
	t.Parallel()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatal("install the package qemu-system-x86: ", err)
	}
	if err := lab.Probe(t.Context(), qemu, lab.TCG, firmwareTime); err != nil {
		t.Errorf("the probe guest does not work where guests work: %v", err)
	}
	if err := lab.Probe(t.Context(), qemu, lab.TCG, 10*time.Millisecond); err == nil || !strings.Contains(err.Error(), "10ms") {
		t.Errorf("a guest that takes too long: %v, want an error that names the limit", err)
	}
	if err := lab.Probe(t.Context(), qemu, "none", firmwareTime); err == nil || !strings.Contains(err.Error(), "failed") {
		t.Errorf("an unknown accelerator: %v, want QEMU's error", err)
	}
}
