/* Two nodes in one program meet, place each other in tribes by hand and by policy, and hear of it. */
#include <poll.h>

#include "live.h"

static void members_are_listed(tribe_node *node, const char *other) {
  tribe_members *members = NULL;
  OK(tribe_member_list(node, NONE, &members, &err));
  CHECK(tribe_members_count(members) == 2);
  CHECK(tribe_members_at(members, 2) == NULL);
  const tribe_member *member = tribe_members_find(members, tribe_cstr(other));
  CHECK(member != NULL);
  CHECK(tribe_member_state_code(member) == TRIBE_MEMBER_STATE_ALIVE);
  CHECK(same(tribe_member_state_name(member), "alive"));
  CHECK(tribe_member_id(member).len == 16);
  CHECK(strncmp(tribe_member_address(member).ptr, "127.0.0.", 8) == 0);
  CHECK(strncmp(tribe_member_version(member).ptr, "tribe/", 6) == 0);
  CHECK(tribe_member_policy_level(member) >= 1);
  tribe_members_free(members);
}

static void check_tribes(tribe_node *node, const char *member, const char *expected) {
  tribe_names *tribes = NULL;
  char list[256] = "";
  OK(tribe_member_tribes(node, tribe_cstr(member), &tribes, &err));
  for (size_t at = 0; at < tribe_names_count(tribes); at++) {
    strcat(list, " ");
    strcat(list, tribe_names_at(tribes, at).ptr);
  }
  if (strcmp(list, expected) != 0) {
    fprintf(stderr, "tribes of %s:%s, expected%s\n", member, list, expected);
    exit(1);
  }
  tribe_names_free(tribes);
}

static void tribes_by_hand(tribe_node *a, tribe_node *b, tribe_events *heard) {
  tribe_written *written = NULL;
  OK(tribe_tribe_create(a, TRIBE_S("core"), TRIBE_S("the middle"), &written, &err));
  held(a, written);
  expect(heard, TRIBE_EVENT_KIND_TRIBE_CREATED, "core", "the middle");
  FAILS(TRIBE_STATUS_TRIBE_EXISTS, tribe_tribe_create(b, TRIBE_S("core"), NONE, NULL, err));
  FAILS(TRIBE_STATUS_UNKNOWN_TRIBE, tribe_tribe_join(a, TRIBE_S("corr"), NONE, NULL, err));
  OK(tribe_tribe_describe(b, TRIBE_S("core"), TRIBE_S("the heart"), &written, &err));
  held(b, written);
  expect(heard, TRIBE_EVENT_KIND_TRIBE_CREATED, "core", "the heart");

  OK(tribe_tribe_join(a, TRIBE_S("core"), TRIBE_S("i2"), &written, &err));
  held(a, written);
  expect(heard, TRIBE_EVENT_KIND_MEMBERSHIP_CHANGED, "core", "i2");
  check_tribes(b, "", " core");

  OK(tribe_tribe_leave(b, TRIBE_S("core"), NONE, &written, &err));
  held(b, written);
  check_tribes(a, "i2", "");
  OK(tribe_tribe_auto(b, TRIBE_S("core"), NONE, &written, &err));
  held(b, written);
}

static void tribes_by_policy(tribe_node *a, tribe_node *b, tribe_events *heard) {
  tribe_written *written = NULL;
  OK(tribe_policy_create(a, TRIBE_S("fast"), TRIBE_S("{{storage_tier}} == True"),
                         TRIBE_S("storage"), &written, &err));
  CHECK(tribe_written_tribe_created(written));
  held(a, written);
  expect(heard, TRIBE_EVENT_KIND_POLICY_CHANGED, "fast", "storage_tier");
  check_tribes(b, "", "");

  OK(tribe_fact_set_text(b, NONE, TRIBE_S("storage_tier=True"), &written, &err));
  held(b, written);
  expect(heard, TRIBE_EVENT_KIND_FACT_CHANGED, "i2", "storage_tier");
  expect(heard, TRIBE_EVENT_KIND_MEMBERSHIP_CHANGED, "storage", "i2");
  check_tribes(b, "", " storage");
  check_tribes(a, "i2", " storage");
  check_tribes(a, "i1", "");

  tribe_members *members = NULL;
  OK(tribe_member_list(a, TRIBE_S("storage"), &members, &err));
  CHECK(tribe_members_count(members) == 1);
  const tribe_member *member = tribe_members_at(members, 0);
  CHECK(same(tribe_member_name(member), "i2"));
  CHECK(tribe_member_tribe_count(member) == 1);
  CHECK(same(tribe_member_tribe_at(member, 0), "storage"));
  CHECK(same(tribe_member_facts(member), "{\"node_name\":\"i2\",\"storage_tier\":true}"));
  tribe_members_free(members);

  OK(tribe_fact_unset(b, NONE, TRIBE_S("storage_tier"), &written, &err));
  held(b, written);
  check_tribes(a, "i2", "");
}

static void policies_are_explained(tribe_node *a) {
  tribe_text *text = NULL;
  tribe_verdict verdict = TRIBE_VERDICT_UNKNOWN;
  OK(tribe_fact_set_i64(a, NONE, TRIBE_S("rack"), 7, NULL, &err));
  OK(tribe_policy_evaluate(a, TRIBE_S("{{rack}} == 7"), NONE, &verdict, &err));
  CHECK(verdict == TRIBE_VERDICT_TRUE);
  OK(tribe_policy_evaluate(a, TRIBE_S("{{rack}} == 8"), TRIBE_S("i1"), &verdict, &err));
  CHECK(verdict == TRIBE_VERDICT_FALSE);
  OK(tribe_policy_explain(a, TRIBE_S("fast"), NONE, &text, &err));
  CHECK(strstr(tribe_text_str(text).ptr, "\"satisfied\":false") != NULL);
  tribe_text_free(text);
  OK(tribe_policy_list(a, &text, &err));
  CHECK(strstr(tribe_text_str(text).ptr, "\"name\":\"fast\"") != NULL);
  tribe_text_free(text);
  OK(tribe_tribe_list(a, &text, &err));
  CHECK(strstr(tribe_text_str(text).ptr, "\"name\":\"storage\"") != NULL);
  tribe_text_free(text);
  OK(tribe_node_counters(a, &text, &err));
  CHECK(tribe_text_str(text).ptr[0] == '{');
  tribe_text_free(text);
  OK(tribe_node_metrics(a, &text, &err));
  CHECK(strstr(tribe_text_str(text).ptr, "\"labels\":{\"state\":\"alive\"}") != NULL);
  CHECK(strstr(tribe_text_str(text).ptr, "\"name\":\"tribe_datagrams_sent_total\"") != NULL);
  tribe_text_free(text);

  FAILS(TRIBE_STATUS_UNKNOWN_POLICY, tribe_policy_explain(a, TRIBE_S("fats"), NONE, &text, err));
  FAILS(TRIBE_STATUS_UNKNOWN_NODE,
        tribe_policy_explain(a, TRIBE_S("fast"), TRIBE_S("i9"), &text, err));
  FAILS(TRIBE_STATUS_UNKNOWN_NODE, tribe_member_forget(a, TRIBE_S("i9"), NULL, err));
  FAILS(TRIBE_STATUS_STILL_ALIVE, tribe_member_forget(a, TRIBE_S("i2"), NULL, err));
  FAILS(TRIBE_STATUS_POLICY, tribe_policy_evaluate(a, TRIBE_S("{{rack"), NONE, &verdict, err));

  tribe_error *error = NULL;
  CHECK(tribe_policy_create(a, TRIBE_S("bad"), TRIBE_S("{{rack}} = 7"), TRIBE_S("core"), NULL,
                            &error) == TRIBE_STATUS_POLICY);
  CHECK(tribe_error_line(error) == 1);
  CHECK(tribe_error_column(error) == 10);
  CHECK(strchr(tribe_error_detail(error).ptr, '^') != NULL);
  tribe_error_free(error);

  OK(tribe_policy_enable(a, TRIBE_S("fast"), false, NULL, &err));
  OK(tribe_policy_delete(a, TRIBE_S("fast"), NULL, &err));
  OK(tribe_tribe_delete(a, TRIBE_S("storage"), NULL, &err));
}

static void policies_are_put(tribe_node *a, tribe_node *b) {
  tribe_str text = TRIBE_S("exists({{node_name}})"), put = TRIBE_S("put"), off = TRIBE_S("off");
  tribe_policy_options *options = NULL;
  tribe_written *written = NULL;
  tribe_text *list = NULL;
  OK(tribe_policy_options_new(&options, &err));
  OK(tribe_policy_options_set_enabled(options, false, &err));
  OK(tribe_policy_put(a, put, text, off, options, &written, &err));
  CHECK(tribe_written_tribe_created(written));
  held(a, written);
  check_tribes(a, "", "");
  check_tribes(b, "", "");
  OK(tribe_policy_list(b, &list, &err));
  CHECK(strstr(tribe_text_str(list).ptr, "\"enabled\":false") != NULL);
  tribe_text_free(list);

  FAILS(TRIBE_STATUS_POLICY_EXISTS, tribe_policy_put(b, put, TRIBE_S("true"), off, NULL, NULL, err));
  OK(tribe_policy_options_set_replace(options, true, &err));
  OK(tribe_policy_options_set_enabled(options, true, &err));
  OK(tribe_policy_put(b, put, TRIBE_S("true"), off, options, &written, &err));
  CHECK(!tribe_written_tribe_created(written));
  held(b, written);
  check_tribes(b, "i1", " off");
  tribe_policy_options_free(options);
  OK(tribe_tribe_delete(a, off, NULL, &err));
}

static void facts_of_all_types(tribe_node *a) {
  tribe_members *members = NULL;
  OK(tribe_fact_set_str(a, NONE, TRIBE_S("f1"), TRIBE_S("True"), NULL, &err));
  OK(tribe_fact_set_f64(a, NONE, TRIBE_S("f2"), 0.5, NULL, &err));
  OK(tribe_fact_set_bool(a, NONE, TRIBE_S("f3"), false, NULL, &err));
  OK(tribe_fact_set_json(a, NONE, TRIBE_S("f4"), TRIBE_S("[1, {\"a\": \"b\"}]"), NULL, &err));
  OK(tribe_fact_refresh(a, &err));
  OK(tribe_member_list(a, NONE, &members, &err));
  const tribe_member *me = tribe_members_find(members, TRIBE_S("i1"));
  CHECK(same(tribe_member_facts(me),
             "{\"f1\":\"True\",\"f2\":0.5,\"f3\":false,\"f4\":[1,{\"a\":\"b\"}],\"node_name\":\"i1\",\"rack\":7}"));
  tribe_members_free(members);
  FAILS(TRIBE_STATUS_FACT_BUILT_IN,
        tribe_fact_set_str(a, NONE, TRIBE_S("os_dist"), TRIBE_S("x"), NULL, err));
}

int main(void) {
  tribe_events *heard = NULL;
  tribe_node *a = start("i1", "127.0.0.1:0", NONE);
  OK(tribe_node_synced(a, PATIENCE_MS, &err));
  OK(tribe_events_subscribe(a, &heard, &err));
  struct pollfd quiet = {.fd = tribe_events_fd(heard), .events = POLLIN, .revents = 0};

  tribe_node *b = start("i2", "127.0.0.2:0", tribe_node_address(a));
  OK(tribe_node_synced(b, PATIENCE_MS, &err));
  CHECK(poll(&quiet, 1, PATIENCE_MS) == 1);
  expect(heard, TRIBE_EVENT_KIND_MEMBER_JOINED, "i2", "127.0.0.2:");

  members_are_listed(a, "i2");
  members_are_listed(b, "i1");
  tribes_by_hand(a, b, heard);
  tribes_by_policy(a, b, heard);
  policies_are_explained(a);
  policies_are_put(a, b);
  facts_of_all_types(a);

  OK(tribe_node_leave(b, PATIENCE_MS, &err));
  expect(heard, TRIBE_EVENT_KIND_MEMBER_LEFT, "i2", "left");
  OK(tribe_member_forget(a, TRIBE_S("i2"), NULL, &err));
  expect(heard, TRIBE_EVENT_KIND_MEMBER_LEFT, "i2", "forgotten");
  FAILS(TRIBE_STATUS_CLOSED, tribe_tribe_create(b, TRIBE_S("late"), NONE, NULL, err));
  tribe_node_free(b);
  tribe_events_free(heard);
  tribe_node_free(a);
  return 0;
}
