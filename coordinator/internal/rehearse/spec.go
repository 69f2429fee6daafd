package rehearse

import "time"

// Spec is what a process that is machines is told, as the first line of its input (JSON).
type Spec struct {
	BootURL  string        `json:"boot_url"` // of the coordinator's boot service, without a final slash
	SSH      int           `json:"ssh"`      // ports that a machine opens when it is up
	Mark     int           `json:"mark"`
	Image    string        `json:"image"` // file with the bytes that each machine must receive
	Delays   Delays        `json:"delays"`
	Machines []MachineSpec `json:"machines"`
	Seed     uint64        `json:"seed"`
}

// MachineSpec is one machine.
type MachineSpec struct {
	Name    string `json:"name"`
	Address string `json:"address"` // in 127.0.0.0/8
	Fault   Fault  `json:"fault,omitzero"`
}

// order is a line that follows: what somebody does to machines by their power.
type order struct {
	ID    int      `json:"id"`
	Op    string   `json:"op"` // reboot, power_on, power_off, power_status
	Nodes []string `json:"nodes"`
}

// word is a line of the process's output: the answer to an order, or a strike.
type word struct {
	ID     int     `json:"id,omitempty"` // of the order; 0: none
	Answer string  `json:"answer,omitempty"`
	Error  string  `json:"error,omitempty"`
	Strike *Strike `json:"strike,omitempty"`
	Ready  bool    `json:"ready,omitempty"` // all machines are there
}

// Strike tells that a fault has struck.
type Strike struct {
	Node string    `json:"node"`
	At   time.Time `json:"at"`
}

// Deployed is the file of the deployed environment's kernel; a machine has it after it received the image.
const (
	deployedKernel = "/vmlinuz"
	deployedInitrd = "/initrd.img"
)
