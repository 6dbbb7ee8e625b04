/* Shutting down wakes all who wait, and closes the node for good. */
#include <poll.h>
#include <pthread.h>

#include "live.h"

static void *wait_for_events(void *argument) {
  tribe_status status;
  do {
    tribe_event *event = NULL;
    status = tribe_events_next(argument, -1, &event, NULL);
    tribe_event_free(event);
  } while (status == TRIBE_STATUS_OK);
  CHECK(status == TRIBE_STATUS_CLOSED);
  return NULL;
}

static void *wait_for_sync(void *argument) {
  CHECK(tribe_node_synced(argument, -1, NULL) == TRIBE_STATUS_CLOSED);
  return NULL;
}

int main(void) {
  pthread_t readers[2], syncer;
  tribe_events *events = NULL, *late = NULL;
  /* A seed that never answers: this node does not get in sync. */
  tribe_node *node = start("i1", "127.0.0.1:0", TRIBE_S("127.0.0.3:1"));
  CHECK(tribe_node_synced(node, 0, NULL) == TRIBE_STATUS_AGAIN);
  OK(tribe_events_subscribe(node, &events, &err));
  CHECK(pthread_create(&readers[0], NULL, wait_for_events, events) == 0);
  CHECK(pthread_create(&readers[1], NULL, wait_for_events, events) == 0);
  CHECK(pthread_create(&syncer, NULL, wait_for_sync, node) == 0);

  OK(tribe_node_shutdown(node, &err));
  pthread_join(readers[0], NULL);
  pthread_join(readers[1], NULL);
  pthread_join(syncer, NULL);

  struct pollfd closed = {.fd = tribe_events_fd(events), .events = POLLIN, .revents = 0};
  CHECK(poll(&closed, 1, 0) == 1);
  OK(tribe_node_shutdown(node, &err));
  FAILS(TRIBE_STATUS_CLOSED, tribe_node_leave(node, -1, err));
  FAILS(TRIBE_STATUS_CLOSED, tribe_tribe_create(node, TRIBE_S("a"), NONE, NULL, err));
  FAILS(TRIBE_STATUS_CLOSED, tribe_events_subscribe(node, &late, err));
  CHECK(same(tribe_node_name(node), "i1"));

  /* The events may outlive their node. */
  tribe_node_free(node);
  tribe_event *event = NULL;
  FAILS(TRIBE_STATUS_CLOSED, tribe_events_next(events, 0, &event, err));
  tribe_events_free(events);
  return 0;
}
