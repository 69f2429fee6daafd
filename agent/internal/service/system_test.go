package service

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	agentv1 "kadeploy/proto/agent/v1"
)

func TestRootArgument(t *testing.T) {
	full := root{path: "/dev/vda3", uuid: "u", partUUID: "p"}
	for _, c := range []struct {
		root   root
		initrd bool
		want   string
	}{
		{full, true, "UUID=u"},
		{full, false, "PARTUUID=p"},
		{root{path: "/dev/vda3"}, true, "/dev/vda3"},
		{root{path: "/dev/vda3", uuid: "u"}, false, "/dev/vda3"},
		{root{path: "/dev/vda3", uuid: "u", partUUID: "p", shared: true}, true, "PARTUUID=p"},
		{root{path: "/dev/vda3", uuid: "u", shared: true}, true, "/dev/vda3"},
	} {
		if got := c.root.argument(c.initrd); got != c.want {
			t.Errorf("%+v, initrd %t: %s, want %s", c.root, c.initrd, got, c.want)
		}
	}
}

// An image of a partition that was written to two of them leaves one UUID twice.
func TestSameUUID(t *testing.T) {
	const uuid = "12345678-1234-1234-1234-123456789abc"
	one, two, other := filepath.Join(t.TempDir(), "1"), filepath.Join(t.TempDir(), "2"), filepath.Join(t.TempDir(), "3")
	output(t, "mke2fs", "-q", "-U", uuid, one, "2m")
	output(t, "cp", one, two)
	output(t, "mke2fs", "-q", other, "2m")
	if same := sameUUID([]string{other, two, filepath.Join(t.TempDir(), "none")}, uuid); len(same) != 1 || same[0] != two {
		t.Errorf("%v have it, want %s", same, two)
	}
	if same := sameUUID([]string{other}, ""); len(same) != 0 {
		t.Errorf("%v have no UUID", same)
	}
}

func TestInstallKeysAndCheckKernel(t *testing.T) {
	agent, dir := client(t, Config{}), t.TempDir()
	if _, err := agent.InstallKeys(t.Context(), &agentv1.InstallKeysRequest{Root: dir, Keys: []byte("ssh-ed25519 A me\n")}); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "root/.ssh/authorized_keys")); err != nil || string(text) != "ssh-ed25519 A me\n" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := agent.InstallKeys(t.Context(), &agentv1.InstallKeysRequest{Root: dir}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no keys: %v", err)
	}

	check := &agentv1.CheckKernelRequest{Root: dir, Kernel: "/vmlinuz"}
	if _, err := agent.CheckKernel(t.Context(), check); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "/vmlinuz") {
		t.Errorf("no kernel: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "real"), []byte("k"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/real", filepath.Join(dir, "vmlinuz")); err != nil {
		t.Fatal(err)
	}
	if reply, err := agent.CheckKernel(t.Context(), check); err != nil || reply.Kernel != "/real" {
		t.Errorf("%v, %v", reply, err)
	}
}

func TestBootloaderRefusesADiskThatIsNotThere(t *testing.T) {
	agent := client(t, Config{})
	stream, err := agent.InstallBootloader(t.Context(), &agentv1.InstallBootloaderRequest{Root: t.TempDir(), Disk: &agentv1.Target{Disk: "/dev/none"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = stream.Recv(); err == nil || !strings.Contains(err.Error(), "/dev/none") {
		t.Errorf("%v", err)
	}
}

func TestRebootAnswersFirst(t *testing.T) {
	left := make(chan Departure, 1)
	agent := client(t, Config{Leave: func(d Departure) error { left <- d; return nil }})
	for request, want := range map[*agentv1.RebootRequest]Departure{{}: Restart, {PowerOff: true}: PowerOff} {
		if _, err := agent.Reboot(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-left:
			if got != want {
				t.Errorf("left by %s, want %s", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("never left: %s", want)
		}
	}
}
