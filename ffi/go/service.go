package tribe

// #include <tribe.h>
import "C"

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Target is whom to dial: InTribe or OnNode.
type Target struct{ tribe, node string }

// InTribe is any member of a tribe that offers the service: of those that answer, one with little to do; if
// one fails, the next is tried.
func InTribe(tribe string) Target { return Target{tribe: tribe} }

// OnNode is this node.
func OnNode(node string) Target { return Target{node: node} }

// ServeOptions are how a service is served. By default any node of the cluster may dial it.
type ServeOptions struct {
	// Tribes, if there are any, are those whose members may dial it.
	Tribes []string
	// Most streams at a time; who dials beyond gets ErrBusy. By default 256.
	Most int
	// Hidden keeps it out of what the node offers: only who knows of it dials it, by node.
	Hidden bool
}

// Peer is the node at the other end of a stream. It is a net.Addr.
type Peer struct {
	Name    string
	ID      string // 16 hexadecimal digits.
	Address string // IP:PORT
}

// Network is "tribe".
func (p Peer) Network() string { return "tribe" }

// String is the node's name.
func (p Peer) String() string { return p.Name }

// A Conn is a stream to a service, or from one who dialled it. Beside what every net.Conn has it has
// CloseWrite, which ends its own direction.
type Conn struct {
	*net.UnixConn
	local, peer Peer
}

// Peer is the node at the other end.
func (c *Conn) Peer() Peer { return c.peer }

// LocalAddr is this node, a Peer.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the node at the other end, a Peer.
func (c *Conn) RemoteAddr() net.Addr { return c.peer }

// conn makes a connection of a descriptor, which is then its own, and frees the caller.
func (n *Node) conn(fd C.int, peer *C.tribe_caller) (*Conn, error) {
	defer C.tribe_caller_free(peer)
	file := os.NewFile(uintptr(fd), "tribe stream")
	// It takes a copy.
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		conn.Close()
		return nil, fmt.Errorf("tribe: a stream is %T and no socket of this host", conn)
	}
	return &Conn{unix, n.self(), Peer{
		Name:    text(C.tribe_caller_name(peer)),
		ID:      text(C.tribe_caller_id(peer)),
		Address: text(C.tribe_caller_address(peer)),
	}}, nil
}

func (n *Node) self() Peer { return Peer{n.name, n.id, n.address} }

// Dial dials a service.
func (n *Node) Dial(ctx context.Context, target Target, service string) (*Conn, error) {
	limit := int64(-1)
	if deadline, ok := ctx.Deadline(); ok {
		limit = max(time.Until(deadline).Milliseconds(), 0) + 1
	}
	type dialled struct {
		conn *Conn
		err  error
	}
	done := make(chan dialled, 1)
	go func() {
		conn, err := n.dial(target, service, limit)
		done <- dialled{conn, err}
	}()
	select {
	case dialled := <-done:
		if ctx.Err() != nil && dialled.err != nil {
			return nil, ctx.Err()
		}
		return dialled.conn, dialled.err
	case <-ctx.Done():
		// Nobody waits for it any more.
		go func() {
			if late := <-done; late.err == nil {
				late.conn.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

func (n *Node) dial(target Target, service string, limit int64) (*Conn, error) {
	var t texts
	defer t.free()
	var fd C.int
	var peer *C.tribe_caller
	err := n.call("dial", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_dial(node, t.str(target.tribe), t.str(target.node), t.str(service),
			C.int64_t(limit), &fd, &peer, e)
	})
	if err != nil {
		return nil, err
	}
	return n.conn(fd, peer)
}

// A Listener is a service that a node serves. It is a net.Listener.
type Listener struct {
	node  *Node
	name  string
	waker *waker

	// Accepts hold it to read; who frees the service holds it to write.
	mu      sync.RWMutex
	service *C.tribe_service // nil once it is closed.
}

// Serve serves a service of this name, as in "echo/1", to the members of the cluster, over its own encrypted
// streams: nothing new listens on the network.
func (n *Node) Serve(name string, options ServeOptions) (*Listener, error) {
	made, err := options.make()
	if err != nil {
		return nil, err
	}
	defer C.tribe_serve_options_free(made)
	var t texts
	defer t.free()
	l := &Listener{node: n, name: name}
	err = n.call("serve", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_serve(node, t.str(name), made, &l.service, e)
	})
	if err != nil {
		return nil, err
	}
	if l.waker, err = watch(C.tribe_service_fd(l.service), "tribe service "+name); err != nil {
		C.tribe_service_free(l.service)
		return nil, err
	}
	return l, nil
}

func (o *ServeOptions) make() (*C.tribe_serve_options, error) {
	var t texts
	defer t.free()
	var options *C.tribe_serve_options
	var e *C.tribe_error
	status := C.tribe_serve_options_new(&options, &e)
	for _, tribe := range o.Tribes {
		if status >= 0 {
			status = C.tribe_serve_options_add_tribe(options, t.str(tribe), &e)
		}
	}
	if status >= 0 && o.Most > 0 {
		status = C.tribe_serve_options_set_most(options, C.size_t(o.Most), &e)
	}
	if status >= 0 {
		status = C.tribe_serve_options_set_hidden(options, C.bool(o.Hidden), &e)
	}
	if err := check("serve", status, e); err != nil {
		C.tribe_serve_options_free(options)
		return nil, err
	}
	return options, nil
}

// Accept waits for the next stream, a *Conn. Once the listener or its node is closed, the error is
// net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var e *C.tribe_error
	var fd C.int
	var peer *C.tribe_caller
	var status C.tribe_status = C.TRIBE_STATUS_CLOSED
	err := l.waker.wait(func() bool {
		status = C.tribe_service_accept(l.service, 0, &fd, &peer, &e)
		return status != C.TRIBE_STATUS_AGAIN
	})
	if err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tribe", Addr: l.Addr(), Err: net.ErrClosed}
	}
	if err := check("accept", status, e); err != nil {
		return nil, &net.OpError{Op: "accept", Net: "tribe", Addr: l.Addr(), Err: err}
	}
	return l.node.conn(fd, peer)
}

// Addr is this node, a Peer.
func (l *Listener) Addr() net.Addr { return l.node.self() }

// Name is the service's name.
func (l *Listener) Name() string { return l.name }

// Close withdraws the service, and wakes those that accept. Streams that were accepted go on.
func (l *Listener) Close() error {
	err := l.waker.close()
	l.mu.Lock()
	defer l.mu.Unlock()
	C.tribe_service_free(l.service)
	l.service = nil
	return err
}

// OfferQuery is which offers are wanted: those that are all that is set.
type OfferQuery struct {
	// Tribe: only what its members offer.
	Tribe string
	// Node: only what it offers.
	Node string
	// Service is a name in which * is any text, as in "echo/*".
	Service string
	// Plugin is TYPE:NAME:VERSIONS, as in "publisher:influxdb:>=20,<30". Parts may be *, or left out at the
	// end.
	Plugin string
}

// An Offer is a service that a live node offers.
type Offer struct {
	Node    string         `json:"node"`
	ID      string         `json:"id"`
	Tribes  []string       `json:"tribes"`
	Service string         `json:"service"`
	Plugin  *OfferedPlugin `json:"plugin"` // nil if the service is no plugin.
}

// An OfferedPlugin is a plugin of snapd that is a service.
type OfferedPlugin struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version uint64 `json:"version"`
}

// Offers lists what live nodes offer, by service and node. It asks nobody: every node knows it.
func (n *Node) Offers(query OfferQuery) ([]Offer, error) {
	var t texts
	defer t.free()
	return ask[[]Offer](n, "offers", func(node *C.tribe_node, text **C.tribe_text, e **C.tribe_error) C.tribe_status {
		return C.tribe_offers(node, t.str(query.Tribe), t.str(query.Node), t.str(query.Service),
			t.str(query.Plugin), text, e)
	})
}
