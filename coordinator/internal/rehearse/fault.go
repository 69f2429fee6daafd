package rehearse

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// Kind is what is wrong with a machine.
type Kind string

// The kinds of fault.
const (
	None  Kind = ""
	Death Kind = "death" // it stops, its connections break, and it never comes up again
	Error Kind = "error" // its agent answers one kind of call with an error, always
	Hang  Kind = "hang"  // it stops answering with its connections open, until it is reset
	Slow  Kind = "slow"  // everything takes longer, and its disk holds up the chain
)

// Point is where in its life a fault strikes a machine: at its boot, or at the first
// call of one kind to its agent.
type Point string

// The points, in the order of a deployment.
const (
	AtBoot       Point = "boot"       // the firmware finds nothing to boot
	AtDial       Point = "dial"       // the mini-OS is up, its agent never dials
	AtKeys       Point = "keys"       // InstallKeys
	AtPartition  Point = "partition"  // Partition
	AtFormat     Point = "format"     // Format
	AtMount      Point = "mount"      // Mount
	AtReceive    Point = "receive"    // Receive, in the midst of the image
	AtKernel     Point = "kernel"     // CheckKernel
	AtBootloader Point = "bootloader" // InstallBootloader
	AtRun        Point = "run"        // Run: scripts of the site, sync
	AtUnmount    Point = "unmount"    // Unmount
	AtKexec      Point = "kexec"      // Kexec
	AtReboot     Point = "reboot"     // Reboot
	AtSystem     Point = "system"     // the deployed system does not come up
)

// Fault is what a seed gives to a machine.
type Fault struct {
	Kind  Kind  `json:"kind,omitempty"`
	Point Point `json:"point,omitempty"`
}

func (f Fault) String() string {
	if f.Point == "" {
		return string(f.Kind)
	}
	return fmt.Sprintf("%s at %s", f.Kind, f.Point)
}

// Rates are the shares of all machines that get a fault, from 0 to 1.
type Rates struct{ Fail, Slow, Hang float64 }

// Where each kind may strike. An error that only a boot by kexec meets would not be
// fatal where another way to boot follows, so there is none.
var (
	deaths = []Point{AtBoot, AtDial, AtKeys, AtPartition, AtFormat, AtMount, AtReceive, AtKernel, AtBootloader, AtUnmount, AtKexec, AtReboot, AtSystem}
	errs   = []Point{AtPartition, AtFormat, AtMount, AtReceive, AtKernel, AtBootloader}
	hangs  = deaths
)

// Faults gives each machine its fault. The same seed, names and points give the same.
// has tells whether the deployment comes to a point; nil: to all.
func Faults(names []string, r Rates, seed uint64, has func(Point) bool) map[string]Fault {
	rng := rand.New(rand.NewPCG(seed, 0x6b61646570))
	order := rng.Perm(len(names))
	faults := make(map[string]Fault)
	take := func(rate float64, give func() Fault) {
		for range min(count(rate, len(names)), len(order)) {
			faults[names[order[0]]] = give()
			order = order[1:]
		}
	}
	at := func(points []Point) Point {
		var possible []Point
		for _, p := range points {
			if has == nil || has(p) {
				possible = append(possible, p)
			}
		}
		if len(possible) == 0 {
			return AtBoot
		}
		return possible[rng.IntN(len(possible))]
	}
	take(r.Fail, func() Fault {
		if rng.IntN(3) == 0 {
			return Fault{Error, at(errs)}
		}
		return Fault{Death, at(deaths)}
	})
	take(r.Hang, func() Fault { return Fault{Hang, at(hangs)} })
	take(r.Slow, func() Fault { return Fault{Kind: Slow} })
	return faults
}

// count is the number of machines of a share; a share that is not 0 has at least one.
func count(rate float64, of int) int {
	if rate <= 0 {
		return 0
	}
	return max(1, int(math.Round(rate*float64(of))))
}

// Delays are how long things take on a machine.
type Delays struct {
	Boot time.Duration `json:"boot"` // of the firmware, and again of a kernel
	Disk time.Duration `json:"disk"` // of each thing done to the disk
	Slow time.Duration `json:"slow"` // that a slow machine takes longer for each thing, and for the image ten times
}
