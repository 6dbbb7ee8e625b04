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

static void *wait_for_callers(void *argument) {
  int fd = -1;
  CHECK(tribe_service_accept(argument, -1, &fd, NULL, NULL) == TRIBE_STATUS_CLOSED);
  return NULL;
}

int main(void) {
  pthread_t readers[2], syncer, acceptors[2];
  tribe_events *events = NULL, *late = NULL;
  tribe_service *one = NULL, *other = NULL;
  int fd = -1;
  /* A seed that never answers: this node does not get in sync. */
  tribe_node *node = start("i1", "127.0.0.1:0", TRIBE_S("127.0.0.3:1"));
  CHECK(tribe_node_synced(node, 0, NULL) == TRIBE_STATUS_AGAIN);
  OK(tribe_events_subscribe(node, &events, &err));
  CHECK(pthread_create(&readers[0], NULL, wait_for_events, events) == 0);
  CHECK(pthread_create(&readers[1], NULL, wait_for_events, events) == 0);
  CHECK(pthread_create(&syncer, NULL, wait_for_sync, node) == 0);

  OK(tribe_serve(node, TRIBE_S("one"), NULL, &one, &err));
  OK(tribe_serve(node, TRIBE_S("other"), NULL, &other, &err));
  CHECK(pthread_create(&acceptors[0], NULL, wait_for_callers, one) == 0);
  CHECK(pthread_create(&acceptors[1], NULL, wait_for_callers, other) == 0);
  /* One service is closed by itself, the other with its node. */
  OK(tribe_service_close(one, &err));
  pthread_join(acceptors[0], NULL);
  OK(tribe_service_close(one, &err));
  FAILS(TRIBE_STATUS_CLOSED, tribe_service_accept(one, 0, &fd, NULL, err));

  OK(tribe_node_shutdown(node, &err));
  pthread_join(acceptors[1], NULL);
  pthread_join(readers[0], NULL);
  pthread_join(readers[1], NULL);
  pthread_join(syncer, NULL);

  struct pollfd closed = {.fd = tribe_events_fd(events), .events = POLLIN, .revents = 0};
  CHECK(poll(&closed, 1, 0) == 1);
  OK(tribe_node_shutdown(node, &err));
  FAILS(TRIBE_STATUS_CLOSED, tribe_node_leave(node, -1, err));
  FAILS(TRIBE_STATUS_CLOSED, tribe_tribe_create(node, TRIBE_S("a"), NONE, NULL, err));
  FAILS(TRIBE_STATUS_CLOSED, tribe_events_subscribe(node, &late, err));
  FAILS(TRIBE_STATUS_CLOSED, tribe_serve(node, TRIBE_S("late"), NULL, &one, err));
  FAILS(TRIBE_STATUS_CLOSED,
        tribe_dial(node, NONE, TRIBE_S("i1"), TRIBE_S("one"), -1, &fd, NULL, err));
  CHECK(same(tribe_node_name(node), "i1"));

  /* Events and services may outlive their node. */
  tribe_node_free(node);
  FAILS(TRIBE_STATUS_CLOSED, tribe_service_accept(other, 0, &fd, NULL, err));
  tribe_service_free(one);
  tribe_service_free(other);
  tribe_event *event = NULL;
  FAILS(TRIBE_STATUS_CLOSED, tribe_events_next(events, 0, &event, err));
  tribe_events_free(events);
  return 0;
}
