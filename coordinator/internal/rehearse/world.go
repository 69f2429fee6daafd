package rehearse

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"
)

// world is the machines of one process.
type world struct {
	ctx      context.Context
	spec     Spec
	image    []byte
	machines map[string]*machine
	wg       sync.WaitGroup

	mu       sync.Mutex
	out      *json.Encoder
	logged   int
	complain func(m *machine, err error)
}

// Serve is machines, as the first line of in says, and obeys the orders that follow
// until in or ctx ends. What happens is told on out; complaints go to log.
func Serve(ctx context.Context, in io.Reader, out, log io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	w := &world{ctx: ctx, out: json.NewEncoder(out), machines: make(map[string]*machine)}
	w.complain = func(m *machine, err error) { w.note(log, m, err) }
	defer w.wg.Wait()
	defer cancel()
	lines := bufio.NewReaderSize(in, 64<<10)
	if err := w.read(lines, &w.spec); err != nil {
		return fmt.Errorf("machines: what they are to be: %w", err)
	}
	if err := w.build(); err != nil {
		return err
	}
	w.say(word{Ready: true})
	for {
		var o order
		if err := w.read(lines, &o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("machines: read an order: %w", err)
		}
		w.obey(o)
	}
}

func (w *world) read(lines *bufio.Reader, into any) error {
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, into)
}

func (w *world) build() (err error) {
	if w.image, err = os.ReadFile(w.spec.Image); err != nil {
		return fmt.Errorf("machines: the image to compare with: %w", err)
	}
	for i, spec := range w.spec.Machines {
		m := &machine{spec: spec, world: w, seed: rand.Uint64(), rng: rand.New(rand.NewPCG(w.spec.Seed, uint64(i)))}
		if m.address, err = netip.ParseAddr(spec.Address); err != nil {
			return fmt.Errorf("machines: %s: %w", spec.Name, err)
		}
		if m.cert, err = certificate(); err != nil {
			return fmt.Errorf("machines: key of %s: %w", spec.Name, err)
		}
		w.machines[spec.Name] = m
	}
	return nil
}

func (w *world) obey(o order) {
	answer := word{ID: o.ID}
	var unknown, said []string
	for _, name := range o.Nodes {
		m := w.machines[name]
		if m == nil {
			unknown = append(unknown, name)
			continue
		}
		if a := m.power(o.Op); a != "" {
			said = append(said, a)
		}
	}
	answer.Answer = strings.Join(said, "\n")
	if len(unknown) > 0 {
		answer.Error = fmt.Sprintf("there is no machine %s", strings.Join(unknown, ", "))
	}
	w.say(answer)
}

func (w *world) say(v word) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.out.Encode(v) // who does not listen has ended, and so will the orders
}

// complaints bounds what is logged: a coordinator that is gone would fill a disk.
const complaints = 1000

func (w *world) note(log io.Writer, m *machine, err error) {
	if w.ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.logged++; w.logged <= complaints {
		fmt.Fprintf(log, "%s machine %s: %v\n", time.Now().Format(time.RFC3339), m.spec.Name, err)
	}
}
