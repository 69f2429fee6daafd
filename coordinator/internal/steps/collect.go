package steps

import "sync"

// collect runs a part of a micro-step that reports on all the given nodes. It
// passes failures on at once, and returns the nodes that succeeded, in their order.
func (nodes) collect(all []string, report func(node string, err error), part func(report func(node string, err error))) []string {
	var mu sync.Mutex
	ok := make(map[string]bool)
	part(func(node string, err error) {
		if err != nil {
			report(node, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		ok[node] = true
	})
	var alive []string
	for _, node := range all {
		if ok[node] {
			alive = append(alive, node)
		}
	}
	return alive
}
