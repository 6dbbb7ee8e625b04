/* A handle taken over a fork says so, and does not hang. */
#include <sys/wait.h>
#include <unistd.h>

#include "live.h"

static void child(tribe_node *node, tribe_events *events, tribe_service *service) {
  int fd = -1;
  tribe_event *event = NULL;
  tribe_text *text = NULL;
  alarm(20);
  FAILS(TRIBE_STATUS_FORKED, tribe_tribe_create(node, TRIBE_S("a"), NONE, NULL, err));
  FAILS(TRIBE_STATUS_FORKED, tribe_tribe_list(node, &text, err));
  FAILS(TRIBE_STATUS_FORKED, tribe_events_next(events, -1, &event, err));
  FAILS(TRIBE_STATUS_FORKED, tribe_service_accept(service, -1, &fd, NULL, err));
  FAILS(TRIBE_STATUS_FORKED, tribe_service_close(service, err));
  FAILS(TRIBE_STATUS_FORKED,
        tribe_dial(node, NONE, TRIBE_S("i1"), TRIBE_S("echo"), -1, &fd, NULL, err));
  FAILS(TRIBE_STATUS_FORKED, tribe_node_leave(node, -1, err));
  FAILS(TRIBE_STATUS_FORKED, tribe_node_shutdown(node, err));
  CHECK(same(tribe_node_name(node), "i1"));
  tribe_service_free(service);
  tribe_events_free(events);
  tribe_node_free(node);
  _exit(0);
}

int main(void) {
  tribe_events *events = NULL;
  tribe_node *node = start("i1", "127.0.0.1:0", NONE);
  OK(tribe_events_subscribe(node, &events, &err));
  tribe_service *service = NULL;
  OK(tribe_serve(node, TRIBE_S("echo"), NULL, &service, &err));
  pid_t pid = fork();
  if (pid == 0) child(node, events, service);
  int status = -1;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);

  OK(tribe_tribe_create(node, TRIBE_S("a"), NONE, NULL, &err));
  tribe_service_free(service);
  tribe_events_free(events);
  tribe_node_free(node);
  return 0;
}
