package inventory

import "testing"

func TestRead(t *testing.T) {
	m, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if m.Hostname == "" || m.Kernel == "" || len(m.BootID) != 36 || m.CPUs < 1 || m.Memory < 1<<20 || m.MemoryFree > m.Memory {
		t.Errorf("Read = %+v", m)
	}
	again, err := BootID()
	if err != nil || again != m.BootID {
		t.Errorf("BootID = %s, %v; it was %s", again, err, m.BootID)
	}
}
