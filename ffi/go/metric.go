package tribe

// #include <tribe.h>
import "C"

import (
	"encoding/json"
	"fmt"
)

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
	var list *C.tribe_text
	err := n.call("metrics", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_node_metrics(node, &list, e)
	})
	if err != nil {
		return nil, err
	}
	var metrics []Metric
	if err := json.Unmarshal(document(list), &metrics); err != nil {
		return nil, fmt.Errorf("tribe: metrics: %w", err)
	}
	return metrics, nil
}
