/* Nodes for the test programs. */
#ifndef LIVE_H
#define LIVE_H

#include "check.h"

enum { PATIENCE_MS = 30000 };

/* A node on a free port of a loopback address, meeting the cluster through `seed`, if any. */
static inline tribe_node *start(const char *name, const char *bind, tribe_str seed) {
  tribe_config *config = NULL;
  tribe_node *node = NULL;
  OK(tribe_config_new(tribe_cstr(name), &config, &err));
  OK(tribe_config_set_key(config, TRIBE_S(KEY), &err));
  OK(tribe_config_set_bind(config, tribe_cstr(bind), &err));
  OK(tribe_config_set_collect_facts(config, false, &err));
  OK(tribe_config_set_hold_down_ms(config, 0, &err));
  if (seed.len > 0) OK(tribe_config_add_seed(config, seed, &err));
  OK(tribe_node_start(config, &node, &err));
  tribe_config_free(config);
  CHECK(same(tribe_node_name(node), name));
  CHECK(tribe_node_id(node).len == 16);
  return node;
}

/* Waits for an event; its body, as text, must contain `detail`. */
static inline void expect(tribe_events *events, tribe_event_kind kind, const char *subject,
                          const char *detail) {
  for (;;) {
    tribe_event *event = NULL;
    tribe_error *error = NULL;
    tribe_status status = tribe_events_next(events, PATIENCE_MS, &event, &error);
    if (status != TRIBE_STATUS_OK) {
      fprintf(stderr, "no event %d of %s with %s: %s\n", (int)kind, subject, detail,
              tribe_status_name(status));
      exit(1);
    }
    bool found = tribe_event_kind_code(event) == kind &&
                 same(tribe_event_subject(event), subject) &&
                 strstr(tribe_event_body(event).ptr, detail) != NULL;
    CHECK(tribe_event_kind_name(event).len > 0);
    CHECK(strstr(tribe_event_json(event).ptr, tribe_event_kind_name(event).ptr) != NULL);
    tribe_event_free(event);
    if (found) return;
  }
}

/* All live members hold what was written. */
static inline void held(tribe_node *node, tribe_written *written) {
  tribe_names *missing = NULL;
  OK(tribe_node_wait(node, written, PATIENCE_MS, &missing, &err));
  CHECK(tribe_names_count(missing) == 0);
  tribe_names_free(missing);
  tribe_written_free(written);
}

#endif
