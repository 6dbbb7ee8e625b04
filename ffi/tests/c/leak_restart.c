/* Nodes come and go, and leave neither memory nor descriptors nor threads behind. */
#include <dirent.h>
#include <unistd.h>

#include "live.h"

static int entries(const char *path) {
  int count = 0;
  DIR *directory = opendir(path);
  CHECK(directory != NULL);
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static void once(void) {
  tribe_events *events = NULL;
  tribe_service *service = NULL;
  int waiting = -1, dialled = -1, accepted = -1;
  tribe_node *node = start("i1", "127.0.0.1:0", NONE);
  OK(tribe_events_subscribe(node, &events, &err));
  OK(tribe_tribe_create(node, TRIBE_S("a"), NONE, NULL, &err));
  OK(tribe_serve(node, TRIBE_S("a"), NULL, &service, &err));
  OK(tribe_dial(node, NONE, TRIBE_S("i1"), TRIBE_S("a"), -1, &dialled, NULL, &err));
  OK(tribe_service_accept(service, -1, &accepted, NULL, &err));
  OK(tribe_dial(node, NONE, TRIBE_S("i1"), TRIBE_S("a"), -1, &waiting, NULL, &err));
  tribe_node_free(node);
  tribe_events_free(events);
  tribe_service_free(service);
  close(waiting);
  close(dialled);
  close(accepted);
}

int main(void) {
  once();
  int descriptors = entries("/proc/self/fd"), threads = entries("/proc/self/task");
  for (int at = 0; at < 10; at++) once();
  CHECK(entries("/proc/self/fd") == descriptors);
  CHECK(entries("/proc/self/task") == threads);
  return 0;
}
