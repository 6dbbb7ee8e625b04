package tribe

// #include <tribe.h>
import "C"

// A Metric is a number that a node tells about itself, by the conventions of Prometheus.
type Metric struct {
	// Name is as "tribe_syncs_total". Several may have one name, and differ in Labels; they stand side by
	// side.
	Name string `json:"name"`
	// Kind is "counter" or "gauge".
	Kind string `json:"kind"`
	// Help says what it counts or measures.
	Help   string            `json:"help"`
	Labels map[string]string `json:"labels"`
	Value  uint64            `json:"value"`
}

// Metrics tells what the node counts and measures, at most a second old.
func (n *Node) Metrics() ([]Metric, error) {
	return ask[[]Metric](n, "metrics", func(node *C.tribe_node, text **C.tribe_text, e **C.tribe_error) C.tribe_status {
		return C.tribe_node_metrics(node, text, e)
	})
}
