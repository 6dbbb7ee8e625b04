package tribe

// #cgo pkg-config: tribe
// #include <tribe.h>
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// A Node is this program as a member of a cluster.
type Node struct {
	name, id, address string

	// Calls hold it to read; who frees the node holds it to write.
	mu   sync.RWMutex
	node *C.tribe_node // nil once it is freed.
}

// A Member is one node of the cluster.
type Member struct {
	Name    string
	ID      string // 16 hexadecimal digits.
	Address string // IP:PORT
	State   string // "alive", "left" or "down"
	Version string // Software and version it runs, as it says itself.
	Tribes  []string
	Facts   map[string]any
}

// Open starts a node. It does not wait for the seeds: WaitSynced does.
func Open(config Config) (*Node, error) {
	made, err := config.make()
	if err != nil {
		return nil, err
	}
	defer C.tribe_config_free(made)
	var e *C.tribe_error
	n := &Node{}
	if err := check("open", C.tribe_node_start(made, &n.node, &e), e); err != nil {
		return nil, err
	}
	n.name = text(C.tribe_node_name(n.node))
	n.id = text(C.tribe_node_id(n.node))
	n.address = text(C.tribe_node_address(n.node))
	return n, nil
}

// Name is the node's name.
func (n *Node) Name() string { return n.name }

// ID is the node's id, 16 hexadecimal digits.
func (n *Node) ID() string { return n.id }

// Address is where others reach the node, IP:PORT.
func (n *Node) Address() string { return n.address }

// call does something with the library's node, if it is there.
func (n *Node) call(op string, do func(*C.tribe_node, **C.tribe_error) C.tribe_status) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.node == nil {
		closed := *ErrClosed
		closed.Op, closed.Message = op, "the node was closed"
		return &closed
	}
	var e *C.tribe_error
	return check(op, do(n.node, &e), e)
}

// WaitSynced waits for the first full exchange with the cluster. The first node of one need not wait.
func (n *Node) WaitSynced(ctx context.Context) error {
	const slice = 100 * time.Millisecond
	for {
		var status C.tribe_status
		err := n.call("wait", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
			status = C.tribe_node_synced(node, C.int64_t(slice.Milliseconds()), e)
			return status
		})
		if err != nil || status == C.TRIBE_STATUS_OK {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Members lists the members of a tribe, or all nodes of the cluster if none is named; dead ones too.
func (n *Node) Members(tribe string) ([]Member, error) {
	var t texts
	defer t.free()
	var list *C.tribe_members
	err := n.call("members", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_member_list(node, t.str(tribe), &list, e)
	})
	if err != nil {
		return nil, err
	}
	defer C.tribe_members_free(list)
	members := make([]Member, int(C.tribe_members_count(list)))
	for at := range members {
		if members[at], err = member(C.tribe_members_at(list, C.size_t(at))); err != nil {
			return nil, err
		}
	}
	return members, nil
}

func member(m *C.tribe_member) (Member, error) {
	member := Member{
		Name:    text(C.tribe_member_name(m)),
		ID:      text(C.tribe_member_id(m)),
		Address: text(C.tribe_member_address(m)),
		State:   text(C.tribe_member_state_name(m)),
		Version: text(C.tribe_member_version(m)),
		Tribes:  make([]string, int(C.tribe_member_tribe_count(m))),
	}
	for at := range member.Tribes {
		member.Tribes[at] = text(C.tribe_member_tribe_at(m, C.size_t(at)))
	}
	if err := json.Unmarshal([]byte(text(C.tribe_member_facts(m))), &member.Facts); err != nil {
		return member, fmt.Errorf("tribe: facts of %s: %w", member.Name, err)
	}
	return member, nil
}

// Facts are the facts of this node, or of another one that is named, by name. Their values are as
// encoding/json has them.
func (n *Node) Facts(of string) (map[string]any, error) {
	if of == "" {
		of = n.name
	}
	members, err := n.Members("")
	if err != nil {
		return nil, err
	}
	var found map[string]any
	for _, member := range members {
		if member.Name == of && (found == nil || member.State == "alive") {
			found = member.Facts
		}
	}
	if found == nil {
		unknown := *ErrUnknownNode
		unknown.Op, unknown.Message = "facts", fmt.Sprintf("there is no node `%s`", of)
		return nil, &unknown
	}
	return found, nil
}

// SetFact sets a run-time fact of this node, or of another one that is named and alive: a bool, a number, a
// string, or what encoding/json makes a list or a map of.
func (n *Node) SetFact(of, name string, value any) error {
	document, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("tribe: set fact `%s`: %w", name, err)
	}
	var t texts
	defer t.free()
	return n.call("set fact", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_fact_set_json(node, t.str(of), t.str(name), t.str(string(document)), nil, e)
	})
}

// CreateTribe creates a tribe.
func (n *Node) CreateTribe(tribe, description string) error {
	var t texts
	defer t.free()
	return n.call("create tribe", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_tribe_create(node, t.str(tribe), t.str(description), nil, e)
	})
}

// DescribeTribe says anew what a tribe is for.
func (n *Node) DescribeTribe(tribe, description string) error {
	var t texts
	defer t.free()
	return n.call("describe tribe", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_tribe_describe(node, t.str(tribe), t.str(description), nil, e)
	})
}

// Join places this node in a tribe by hand, or another one that is named, even one that does not exist yet.
func (n *Node) Join(tribe, member string) error {
	var t texts
	defer t.free()
	return n.call("join", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_tribe_join(node, t.str(tribe), t.str(member), nil, e)
	})
}

// Leave places this node out of a tribe by hand, or another one that is named, whatever the policies say.
func (n *Node) Leave(tribe, member string) error {
	var t texts
	defer t.free()
	return n.call("leave", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_tribe_leave(node, t.str(tribe), t.str(member), nil, e)
	})
}

// Close says good-bye, for at most 5 s, stops the node and frees it. Those that wait return ErrClosed.
func (n *Node) Close() error {
	const goodbye = 5 * time.Second
	err := n.call("close", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_node_leave(node, C.int64_t(goodbye.Milliseconds()), e)
	})
	return n.stop(err)
}

// Stop stops the node without a good-bye, and frees it: to the others it is down.
func (n *Node) Stop() error { return n.stop(nil) }

func (n *Node) stop(result error) error {
	// Wakes those that are in a call, before they are waited for.
	err := n.call("stop", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_node_shutdown(node, e)
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	C.tribe_node_free(n.node)
	n.node = nil
	if result == nil {
		result = err
	}
	return result
}
