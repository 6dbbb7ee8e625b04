/* NULL for every pointer behind a node that runs. */
#include "live.h"

static const tribe_str NOTHING = {NULL, 1};

int main(void) {
  tribe_names *names = NULL;
  tribe_members *members = NULL;
  tribe_text *text = NULL;
  tribe_written *written = NULL;
  tribe_service *service = NULL;
  int fd = 77;
  tribe_node *node = start("i1", "127.0.0.1:0", NONE);

  IS_NULL("written", tribe_node_wait(node, NULL, 0, &names, err));
  IS_NULL("missing", tribe_node_wait(node, NULL, 0, NULL, err));
  IS_NULL("out", tribe_node_counters(node, NULL, err));
  IS_NULL("out", tribe_node_metrics(node, NULL, err));
  IS_NULL("out", tribe_member_list(node, NONE, NULL, err));
  IS_NULL("tribe", tribe_member_list(node, NOTHING, &members, err));
  IS_NULL("out", tribe_member_tribes(node, NONE, NULL, err));
  IS_NULL("member", tribe_member_tribes(node, NOTHING, &names, err));
  IS_NULL("tribe", tribe_tribe_create(node, NOTHING, NONE, &written, err));
  IS_NULL("description", tribe_tribe_create(node, TRIBE_S("a"), NOTHING, &written, err));
  IS_NULL("tribe", tribe_tribe_describe(node, NOTHING, NONE, &written, err));
  IS_NULL("description", tribe_tribe_describe(node, TRIBE_S("a"), NOTHING, &written, err));
  IS_NULL("member", tribe_member_forget(node, NOTHING, &written, err));
  IS_NULL("tribe", tribe_tribe_delete(node, NOTHING, &written, err));
  IS_NULL("tribe", tribe_tribe_join(node, NOTHING, NONE, &written, err));
  IS_NULL("member", tribe_tribe_join(node, TRIBE_S("a"), NOTHING, &written, err));
  IS_NULL("tribe", tribe_tribe_leave(node, NOTHING, NONE, &written, err));
  IS_NULL("member", tribe_tribe_leave(node, TRIBE_S("a"), NOTHING, &written, err));
  IS_NULL("tribe", tribe_tribe_auto(node, NOTHING, NONE, &written, err));
  IS_NULL("member", tribe_tribe_auto(node, TRIBE_S("a"), NOTHING, &written, err));
  IS_NULL("out", tribe_tribe_list(node, NULL, err));
  IS_NULL("policy", tribe_policy_create(node, NOTHING, NONE, NONE, &written, err));
  IS_NULL("text", tribe_policy_create(node, TRIBE_S("a"), NOTHING, NONE, &written, err));
  IS_NULL("tribe", tribe_policy_create(node, TRIBE_S("a"), NONE, NOTHING, &written, err));
  IS_NULL("policy", tribe_policy_put(node, NOTHING, NONE, NONE, NULL, &written, err));
  IS_NULL("text", tribe_policy_put(node, TRIBE_S("a"), NOTHING, NONE, NULL, &written, err));
  IS_NULL("tribe", tribe_policy_put(node, TRIBE_S("a"), NONE, NOTHING, NULL, &written, err));
  IS_NULL("policy", tribe_policy_delete(node, NOTHING, &written, err));
  IS_NULL("policy", tribe_policy_enable(node, NOTHING, true, &written, err));
  IS_NULL("out", tribe_policy_list(node, NULL, err));
  IS_NULL("policy", tribe_policy_explain(node, NOTHING, NONE, &text, err));
  IS_NULL("member", tribe_policy_explain(node, TRIBE_S("a"), NOTHING, &text, err));
  IS_NULL("out", tribe_policy_explain(node, TRIBE_S("a"), NONE, NULL, err));
  IS_NULL("out", tribe_policy_evaluate(node, TRIBE_S("a"), NONE, NULL, err));
  IS_NULL("member", tribe_fact_set_i64(node, NOTHING, TRIBE_S("a"), 1, &written, err));
  IS_NULL("name", tribe_fact_set_i64(node, NONE, NOTHING, 1, &written, err));
  IS_NULL("member", tribe_fact_set_f64(node, NOTHING, TRIBE_S("a"), 1.0, &written, err));
  IS_NULL("name", tribe_fact_set_f64(node, NONE, NOTHING, 1.0, &written, err));
  IS_NULL("member", tribe_fact_set_bool(node, NOTHING, TRIBE_S("a"), true, &written, err));
  IS_NULL("name", tribe_fact_set_bool(node, NONE, NOTHING, true, &written, err));
  IS_NULL("member", tribe_fact_set_str(node, NOTHING, TRIBE_S("a"), NONE, &written, err));
  IS_NULL("name", tribe_fact_set_str(node, NONE, NOTHING, NONE, &written, err));
  IS_NULL("value", tribe_fact_set_str(node, NONE, TRIBE_S("a"), NOTHING, &written, err));
  IS_NULL("member", tribe_fact_set_json(node, NOTHING, TRIBE_S("a"), TRIBE_S("1"), &written, err));
  IS_NULL("name", tribe_fact_set_json(node, NONE, NOTHING, TRIBE_S("1"), &written, err));
  IS_NULL("json", tribe_fact_set_json(node, NONE, TRIBE_S("a"), NOTHING, &written, err));
  IS_NULL("member", tribe_fact_set_text(node, NOTHING, TRIBE_S("a"), &written, err));
  IS_NULL("pair", tribe_fact_set_text(node, NONE, NOTHING, &written, err));
  IS_NULL("member", tribe_fact_unset(node, NOTHING, TRIBE_S("a"), &written, err));
  IS_NULL("name", tribe_fact_unset(node, NONE, NOTHING, &written, err));
  IS_NULL("out", tribe_events_subscribe(node, NULL, err));
  IS_NULL("name", tribe_serve(node, NOTHING, NULL, &service, err));
  IS_NULL("out", tribe_serve(node, TRIBE_S("a"), NULL, NULL, err));
  IS_NULL("tribe", tribe_dial(node, NOTHING, NONE, TRIBE_S("a"), 0, &fd, NULL, err));
  IS_NULL("member", tribe_dial(node, NONE, NOTHING, TRIBE_S("a"), 0, &fd, NULL, err));
  IS_NULL("service", tribe_dial(node, NONE, TRIBE_S("a"), NOTHING, 0, &fd, NULL, err));
  IS_NULL("fd", tribe_dial(node, NONE, TRIBE_S("a"), TRIBE_S("a"), 0, NULL, NULL, err));
  IS_NULL("tribe", tribe_offers(node, NOTHING, NONE, NONE, NONE, &text, err));
  IS_NULL("member", tribe_offers(node, NONE, NOTHING, NONE, NONE, &text, err));
  IS_NULL("service", tribe_offers(node, NONE, NONE, NOTHING, NONE, &text, err));
  IS_NULL("plugin", tribe_offers(node, NONE, NONE, NONE, NOTHING, &text, err));
  IS_NULL("out", tribe_offers(node, NONE, NONE, NONE, NONE, NULL, err));

  CHECK(!service && fd == 77);
  CHECK(!names && !members && !text && !written);
  tribe_node_free(node);
  return 0;
}
