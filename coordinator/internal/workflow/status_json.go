package workflow

import "encoding/json"

// MarshalJSON writes the form of contract 7.6: the macro-steps beside the lists
// OK and KO of nodes that have their verdict.
func (s ClusterStatus) MarshalJSON() ([]byte, error) {
	out := make(map[string]any, len(s.Macros)+2)
	for macro, micros := range s.Macros {
		out[macro] = micros
	}
	out["OK"], out["KO"] = list(s.OK), list(s.KO)
	return json.Marshal(out)
}

// MarshalJSON writes the form of contract 7.6; "**" are the nodes still in it.
func (s MicroStatus) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"nodes": map[string][]string{"OK": list(s.OK), "KO": list(s.KO), "**": list(s.Running)},
		"time":  int(s.Elapsed.Seconds()),
	})
}

// list is never null in JSON.
func list(nodes []string) []string {
	if nodes == nil {
		return []string{}
	}
	return nodes
}
