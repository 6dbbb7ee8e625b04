package tribe

// #include <tribe.h>
import "C"

import (
	"context"
	"encoding/json"
)

// An Event is something that happened in the cluster, as the node sees it.
type Event struct {
	// Rev is the revision of the node's knowledge that first shows it.
	Rev uint64 `json:"rev"`
	// Kind is what happened, as in "member-joined". Let kinds pass that you do not know.
	Kind string `json:"kind"`
	// Subject is the name of the node, tribe or policy it happened to.
	Subject string `json:"subject"`
	// Body has details, by the kind.
	Body map[string]any `json:"body"`
}

// Events gives what happens from now on, until the context ends or the node is closed; then the channel is
// closed. A reader that falls far behind gets one of kind "missed", and should list the members again.
func (n *Node) Events(ctx context.Context) (<-chan Event, error) {
	var events *C.tribe_events
	err := n.call("events", func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return C.tribe_events_subscribe(node, &events, e)
	})
	if err != nil {
		return nil, err
	}
	waker, err := watch(C.tribe_events_fd(events), "tribe events")
	if err != nil {
		C.tribe_events_free(events)
		return nil, err
	}
	out := make(chan Event)
	stop := context.AfterFunc(ctx, func() { waker.close() })
	go func() {
		defer close(out)
		defer C.tribe_events_free(events)
		defer waker.close()
		defer stop()
		for {
			event, ok := next(events, waker)
			if !ok {
				return
			}
			select {
			case out <- event:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func next(events *C.tribe_events, waker *waker) (Event, bool) {
	var got *C.tribe_event
	var status C.tribe_status
	err := waker.wait(func() bool {
		status = C.tribe_events_next(events, 0, &got, nil)
		return status != C.TRIBE_STATUS_AGAIN
	})
	if err != nil || status != C.TRIBE_STATUS_OK {
		return Event{}, false
	}
	defer C.tribe_event_free(got)
	var event Event
	// What the library writes is JSON.
	return event, json.Unmarshal([]byte(text(C.tribe_event_json(got))), &event) == nil
}
