package tribe

// #include <tribe.h>
import "C"

// A Policy is a condition on facts: the nodes for whose facts it is true are in its tribe.
type Policy struct {
	Name       string `json:"name"`
	Tribe      string `json:"tribe"`
	Text       string `json:"text"`
	Enabled    bool   `json:"enabled"`
	Understood bool   `json:"understood"` // False if this node is too old for it: then it matches nothing here.
}

// PolicyOptions are how a policy is created. By default there must be no other of that name, and it is
// enabled.
type PolicyOptions struct {
	// Replace allows one of that name with another text or tribe: it is replaced in one step, and nodes that
	// match before and after stay where they are.
	Replace bool
	// Enabled says whether it is, in one step with the text, so that no node enters for a moment by a policy
	// that should be off. If nil, one that is there stays as it is, and a new one is enabled.
	Enabled *bool
}

// PolicyCreated is a policy that was written.
type PolicyCreated struct {
	TribeCreated bool     // Its tribe did not exist and was created with it.
	Warnings     []string // What may be a mistake in its text.
}

// Policies are all policies, by name.
func (n *Node) Policies() ([]Policy, error) {
	return ask[[]Policy](n, "policies", func(node *C.tribe_node, text **C.tribe_text, e **C.tribe_error) C.tribe_status {
		return C.tribe_policy_list(node, text, e)
	})
}

// CreatePolicy creates a policy for a tribe, and the tribe if there is none of that name.
func (n *Node) CreatePolicy(policy, condition, tribe string, options PolicyOptions) (PolicyCreated, error) {
	made, err := options.make()
	if err != nil {
		return PolicyCreated{}, err
	}
	defer C.tribe_policy_options_free(made)
	var t texts
	defer t.free()
	var written *C.tribe_written
	err = n.call("create policy", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_policy_put(node, t.str(policy), t.str(condition), t.str(tribe), made, &written, e)
	})
	if err != nil {
		return PolicyCreated{}, err
	}
	defer C.tribe_written_free(written)
	created := PolicyCreated{TribeCreated: bool(C.tribe_written_tribe_created(written))}
	for at := range C.tribe_written_warning_count(written) {
		created.Warnings = append(created.Warnings, text(C.tribe_written_warning_at(written, at)))
	}
	return created, nil
}

func (o *PolicyOptions) make() (*C.tribe_policy_options, error) {
	var options *C.tribe_policy_options
	var e *C.tribe_error
	status := C.tribe_policy_options_new(&options, &e)
	if status >= 0 {
		status = C.tribe_policy_options_set_replace(options, C.bool(o.Replace), &e)
	}
	if status >= 0 && o.Enabled != nil {
		status = C.tribe_policy_options_set_enabled(options, C.bool(*o.Enabled), &e)
	}
	if err := check("create policy", status, e); err != nil {
		C.tribe_policy_options_free(options)
		return nil, err
	}
	return options, nil
}

// DeletePolicy deletes a policy. Nodes that were in its tribe by it alone fall out.
func (n *Node) DeletePolicy(policy string) error {
	var t texts
	defer t.free()
	return n.call("delete policy", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_policy_delete(node, t.str(policy), nil, e)
	})
}

// EnablePolicy switches a policy on or off. Only an enabled one places nodes.
func (n *Node) EnablePolicy(policy string, enabled bool) error {
	var t texts
	defer t.free()
	return n.call("enable policy", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_policy_enable(node, t.str(policy), C.bool(enabled), nil, e)
	})
}
