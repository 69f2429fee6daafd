package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"kadeploy/coordinator/internal/client"
	"kadeploy/coordinator/internal/ui"
	"kadeploy/coordinator/internal/workflow"
)

// terminalViewer is the live view of an operation that is watched. Events come
// only when something changed; its clock goes on in between.
type terminalViewer struct {
	out   io.Writer
	title string

	mu   sync.Mutex
	live *ui.Live
	last *workflow.Live // nil before the first event
}

func (v *terminalViewer) Live(l workflow.Live) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = &l
	v.live.Draw(l, time.Now())
}

// attend draws the view again each second, and shows who is where whenever
// something comes from enter, until ctx ends.
func (v *terminalViewer) attend(ctx context.Context, c *client.Client, op client.Operation, enter <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			v.draw()
		case <-enter:
			v.mu.Lock()
			v.live.Typed()
			v.mu.Unlock()
			if all, err := c.Status(ctx, op); err == nil { // without an answer there is none to show
				v.status(all)
			}
			v.draw()
		case <-ctx.Done():
			return
		}
	}
}

func (v *terminalViewer) draw() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last != nil {
		v.live.Draw(*v.last, time.Now())
	}
}

func (v *terminalViewer) status(all []client.ClusterStatus) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var since time.Duration
	if v.last != nil && len(v.last.Macros) > 0 && !v.last.Macros[0].Started.IsZero() {
		since = time.Since(v.last.Macros[0].Started)
	}
	v.live.Erase()
	fmt.Fprint(v.out, statusText(v.title, all, since))
}
