package engine

import (
	"sync"
	"time"

	"kadeploy/coordinator/internal/workflow"
)

// flow is one workflow.
type flow struct {
	engine  *Engine
	req     *workflow.Request
	started time.Time

	mu    sync.Mutex
	ended bool
}

func newFlow(e *Engine, req *workflow.Request) (*flow, error) {
	return &flow{engine: e, req: req, started: time.Now()}, nil
}
func (f *flow) run(Prepare)                           {}
func (f *flow) cancel(workflow.Event)                 {}
func (f *flow) done() bool                            { f.mu.Lock(); defer f.mu.Unlock(); return f.ended }
func (f *flow) view() workflow.View                   { return workflow.View{ID: f.req.ID} }
func (f *flow) states() map[string]workflow.NodeState { return nil }
func (f *flow) status() workflow.Status               { return nil }
func (f *flow) takeLogs(string) []workflow.Line       { return nil }
func (f *flow) takeDebug(string) []workflow.Line      { return nil }
func (f *flow) live() workflow.Live                   { return workflow.Live{} }
func (f *flow) timeline() []workflow.Span             { return nil }
