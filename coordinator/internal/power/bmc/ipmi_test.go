package bmc

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kadeploy/coordinator/internal/cluster"
)

// switchScript is the program with which the simulator switches the machine: the state of
// the power is a file, and what it was told is kept in another.
const switchScript = `#!/bin/sh
cd DIR || exit 1
shift
op=$1
shift
if [ "$op" = get ]; then
	for what in "$@"; do
		[ "$what" = power ] && echo "power:$(cat power)"
	done
	exit 0
fi
while [ $# -ge 2 ]; do
	echo "$1 $2" >>did
	case $1 in
	power) echo "$2" >power ;;
	shutdown) echo 0 >power ;;
	esac
	shift 2
done
`

const lanConf = `name "bmc"
set_working_mc 0x20
startlan 1
  addr 127.0.0.1 PORT
  priv_limit admin
  allowed_auths_callback md5
  allowed_auths_user md5
  allowed_auths_operator md5
  allowed_auths_admin md5
  guid a123456789abcdefa123456789abcdef
endlan
chassis_control "DIR/chassis 0x20"
user 2 true "admin" "secret" admin 10 md5
`

const emulation = "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n"

// startIPMI runs Debian's simulator of a controller, which speaks the real protocol.
func startIPMI(t *testing.T) machine {
	dir := t.TempDir()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := conn.LocalAddr().(*net.UDPAddr).Port
	conn.Close()
	fill := strings.NewReplacer("DIR", dir, "PORT", fmt.Sprint(port))
	for name, text := range map[string]string{"lan.conf": fill.Replace(lanConf), "emulation": emulation, "chassis": fill.Replace(switchScript), "power": "1\n", "did": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("ipmi_sim", "-c", filepath.Join(dir, "lan.conf"), "-f", filepath.Join(dir, "emulation"), "-s", dir, "-n")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the simulator: %v: run scripts/install-packages.sh", err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%v printed:\n%s", cmd.Args, text)
		}
	})
	m := machine{
		bmc:  cluster.BMC{Driver: cluster.IPMI, User: "admin", Password: "secret"},
		host: fmt.Sprintf("127.0.0.1:%d", port),
		did: func() []string {
			text, err := os.ReadFile(filepath.Join(dir, "did"))
			if err != nil {
				t.Error(err)
			}
			return strings.Split(string(text), "\n")
		},
	}
	for deadline := time.Now().Add(10 * time.Second); ; { // it does not say when it listens
		if _, err = Do(t.Context(), m.bmc, m.host, Status); err == nil {
			return m
		}
		if time.Now().After(deadline) {
			t.Fatalf("the simulator does not answer: %v", err)
		}
	}
}
