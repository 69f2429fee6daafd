package engine

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// The image takes ten seconds, each micro-step one.
func TestTheImageComesWhileNodesBoot(t *testing.T) {
	for _, c := range []struct {
		name     string
		failure  error
		cancel   bool
		ok       int
		complete int // times that the journal learnt of the image
		took     time.Duration
	}{
		{"it comes", nil, false, 2, 1, 0},
		{"it cannot be had", &workflow.Failure{Code: 5, Message: "Image file not found!"}, false, 0, 0, 10 * time.Second},
		{"cancelled meanwhile", nil, true, 0, 0, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var sent, booted time.Duration
				var mu sync.Mutex
				b := newBench(t, func(ctx context.Context, task *workflow.Task, node string) error {
					mu.Lock()
					defer mu.Unlock()
					switch task.Micro {
					case workflow.SendEnvironment:
						sent = time.Since(began)
						if task.Request.Files.Image.Path != "/cache/image" {
							t.Errorf("the image is sent from %q", task.Request.Files.Image.Path)
						}
					case workflow.WaitReboot:
						if task.Macro == workflow.SetDeploymentEnv {
							booted = time.Since(began)
						}
					}
					mu.Unlock()
					defer mu.Lock()
					return sleep(ctx, time.Second)
				})
				defer b.close()
				req := deployment("D-1", lab("lab", "n1", "n2"))
				ended := false
				b.submit(req, func(context.Context, func(int, string)) (Rest, error) {
					return func(ctx context.Context) error {
						defer func() { ended = true }()
						if err := sleep(ctx, 10*time.Second); err != nil || c.failure != nil {
							return c.failure
						}
						req.Files.Image.Path = "/cache/image"
						return nil
					}, nil
				})
				if c.cancel {
					time.Sleep(5 * time.Second)
					if err := b.Cancel("D-1", ""); err != nil {
						t.Fatal(err)
					}
				}
				v := b.wait("D-1")
				check(t, "ok", c.ok, len(v.OK))
				check(t, "the journal was told", c.complete, len(b.memory.completed))
				check(t, "the fetch has ended", true, ended)
				if c.took > 0 {
					check(t, "time", c.took, time.Since(began).Truncate(time.Second))
				}
				if (v.Failure != nil) != (c.failure != nil) {
					t.Errorf("failure = %v", v.Failure)
				}
				if c.ok > 0 && (booted >= 10*time.Second || sent < 10*time.Second) {
					t.Errorf("nodes booted after %v, and the image was sent after %v", booted, sent)
				}
			})
		})
	}
}

// A coordinator that dies while the image comes cannot ask its user for the rest; one
// that dies between the journal's knowing of the image and the automata's goes on.
func TestRecoveryOfAWorkflowWhoseImageWasComing(t *testing.T) {
	for _, c := range []struct {
		name    string
		journal bool // the journal knows of the image
		ok      int
	}{{"it has not come", false, 0}, {"it has come", true, 1}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := newBench(t, nil)
				req := deployment("D-1", lab("lab", "n1"))
				first.submit(req, func(context.Context, func(int, string)) (Rest, error) {
					req.Fetching = true
					return func(ctx context.Context) error { return sleep(ctx, time.Hour) }, nil
				})
				time.Sleep(30 * time.Second)
				if err := first.Suspend(t.Context(), func() {}); err != nil {
					t.Fatal(err)
				}
				kept := *req
				kept.Fetching = !c.journal
				second := newBench(t, nil)
				defer second.close()
				second.memory.states = first.memory.states
				past := workflow.Interrupted{Request: &kept, Launched: true, Records: first.memory.records}
				if err := second.Recover(t.Context(), []workflow.Interrupted{past}); err != nil {
					t.Fatal(err)
				}
				check(t, "ok", c.ok, len(second.wait("D-1").OK))
			})
		})
	}
}
