/* NULL for every pointer that can be tried without a node. */
#include "check.h"

static const tribe_str NOTHING = {NULL, 1};

static void configs(void) {
  tribe_config *config = NULL, *none = NULL;
  OK(tribe_config_new(TRIBE_S("i1"), &config, &err));

  IS_NULL("out", tribe_config_new(TRIBE_S("i1"), NULL, err));
  IS_NULL("name", tribe_config_new(NOTHING, &none, err));
  CHECK(none == NULL);

  IS_NULL("config", tribe_config_set_bind(NULL, TRIBE_S("127.0.0.1:0"), err));
  IS_NULL("bind", tribe_config_set_bind(config, NOTHING, err));
  IS_NULL("config", tribe_config_set_advertise(NULL, TRIBE_S("127.0.0.1:1"), err));
  IS_NULL("advertise", tribe_config_set_advertise(config, NOTHING, err));
  IS_NULL("config", tribe_config_add_seed(NULL, TRIBE_S("a:1"), err));
  IS_NULL("seed", tribe_config_add_seed(config, NOTHING, err));
  IS_NULL("config", tribe_config_set_key_file(NULL, TRIBE_S("/nowhere"), err));
  IS_NULL("path", tribe_config_set_key_file(config, NOTHING, err));
  IS_NULL("config", tribe_config_set_key(NULL, TRIBE_S(KEY), err));
  IS_NULL("key", tribe_config_set_key(config, NOTHING, err));
  IS_NULL("config", tribe_config_set_plaintext(NULL, err));
  IS_NULL("config", tribe_config_set_data_dir(NULL, TRIBE_S("/nowhere"), err));
  IS_NULL("path", tribe_config_set_data_dir(config, NOTHING, err));
  IS_NULL("config", tribe_config_set_cluster(NULL, TRIBE_S("a"), err));
  IS_NULL("cluster", tribe_config_set_cluster(config, NOTHING, err));
  IS_NULL("config", tribe_config_set_fact_str(NULL, TRIBE_S("a"), TRIBE_S("b"), err));
  IS_NULL("name", tribe_config_set_fact_str(config, NOTHING, TRIBE_S("b"), err));
  IS_NULL("value", tribe_config_set_fact_str(config, TRIBE_S("a"), NOTHING, err));
  IS_NULL("config", tribe_config_set_fact_i64(NULL, TRIBE_S("a"), 1, err));
  IS_NULL("name", tribe_config_set_fact_i64(config, NOTHING, 1, err));
  IS_NULL("config", tribe_config_set_fact_f64(NULL, TRIBE_S("a"), 1.0, err));
  IS_NULL("name", tribe_config_set_fact_f64(config, NOTHING, 1.0, err));
  IS_NULL("config", tribe_config_set_fact_bool(NULL, TRIBE_S("a"), true, err));
  IS_NULL("name", tribe_config_set_fact_bool(config, NOTHING, true, err));
  IS_NULL("config", tribe_config_set_fact_json(NULL, TRIBE_S("a"), TRIBE_S("[]"), err));
  IS_NULL("name", tribe_config_set_fact_json(config, NOTHING, TRIBE_S("[]"), err));
  IS_NULL("json", tribe_config_set_fact_json(config, TRIBE_S("a"), NOTHING, err));
  IS_NULL("config", tribe_config_set_fact_text(NULL, TRIBE_S("a=b"), err));
  IS_NULL("pair", tribe_config_set_fact_text(config, NOTHING, err));
  IS_NULL("config", tribe_config_set_collect_facts(NULL, true, err));
  IS_NULL("config", tribe_config_set_hold_down_ms(NULL, 1, err));
  IS_NULL("config", tribe_config_set_version(NULL, TRIBE_S("a"), err));
  IS_NULL("version", tribe_config_set_version(config, NOTHING, err));

  tribe_config_free(config);
}

static void policies(void) {
  tribe_policy *policy = NULL, *none = NULL;
  tribe_text *text = NULL;
  tribe_names *names = NULL;
  tribe_verdict verdict = 77;
  tribe_str facts = TRIBE_S("{\"os_dist\": \"Ubuntu\", \"n\": 7}");
  OK(tribe_policy_parse(TRIBE_S("{{os_dist}}==Ubuntu and {{n}} > 5"), &policy, &err));

  IS_NULL("out", tribe_policy_parse(TRIBE_S("true"), NULL, err));
  IS_NULL("text", tribe_policy_parse(NOTHING, &none, err));
  CHECK(none == NULL);
  IS_NULL("policy", tribe_policy_eval(NULL, facts, &verdict, err));
  IS_NULL("facts", tribe_policy_eval(policy, NOTHING, &verdict, err));
  IS_NULL("out", tribe_policy_eval(policy, facts, NULL, err));
  CHECK(verdict == 77);
  IS_NULL("policy", tribe_policy_explain_facts(NULL, facts, &text, err));
  IS_NULL("facts", tribe_policy_explain_facts(policy, NOTHING, &text, err));
  IS_NULL("out", tribe_policy_explain_facts(policy, facts, NULL, err));
  IS_NULL("policy", tribe_policy_check(NULL, facts, &names, err));
  IS_NULL("nodes", tribe_policy_check(policy, NOTHING, &names, err));
  IS_NULL("out", tribe_policy_check(policy, facts, NULL, err));
  CHECK(text == NULL && names == NULL);
  CHECK(tribe_policy_text(NULL).len == 0);
  CHECK(tribe_policy_level(NULL) == 0);
  tribe_policy_free(NULL);

  CHECK(strcmp(tribe_policy_text(policy).ptr, "{{os_dist}} == Ubuntu && {{n}} > 5") == 0);
  CHECK(tribe_policy_level(policy) == 1);
  OK(tribe_policy_eval(policy, facts, &verdict, &err));
  CHECK(verdict == TRIBE_VERDICT_TRUE);
  OK(tribe_policy_eval(policy, TRIBE_S("{\"os_dist\": \"Debian\"}"), &verdict, &err));
  CHECK(verdict == TRIBE_VERDICT_FALSE);
  OK(tribe_policy_eval(policy, TRIBE_S("{}"), &verdict, &err));
  CHECK(verdict == TRIBE_VERDICT_UNKNOWN);
  OK(tribe_policy_explain_facts(policy, facts, &text, &err));
  CHECK(strstr(tribe_text_str(text).ptr, "\"satisfied\":true") != NULL);
  OK(tribe_policy_check(policy, TRIBE_S("[{\"n\": \"x\"}]"), &names, &err));
  CHECK(tribe_names_count(names) == 1);
  CHECK(strstr(tribe_names_at(names, 0).ptr, "warning[P103]") != NULL);

  tribe_names_free(names);
  tribe_text_free(text);
  tribe_policy_free(policy);
}

static void nodes(void) {
  tribe_config *config = NULL;
  tribe_node *node = NULL;
  tribe_names *names = NULL;
  tribe_members *members = NULL;
  tribe_text *text = NULL;
  tribe_written *written = NULL;
  tribe_events *events = NULL;
  tribe_event *event = NULL;
  tribe_verdict verdict = 77;
  OK(tribe_config_new(TRIBE_S("i1"), &config, &err));

  IS_NULL("out", tribe_node_start(config, NULL, err));
  IS_NULL("config", tribe_node_start(NULL, &node, err));
  IS_NULL("node", tribe_node_synced(NULL, 0, err));
  IS_NULL("node", tribe_node_wait(NULL, NULL, 0, &names, err));
  IS_NULL("missing", tribe_node_wait(NULL, NULL, 0, NULL, err));
  IS_NULL("node", tribe_node_counters(NULL, &text, err));
  IS_NULL("out", tribe_node_counters(NULL, NULL, err));
  IS_NULL("node", tribe_node_metrics(NULL, &text, err));
  IS_NULL("out", tribe_node_metrics(NULL, NULL, err));
  IS_NULL("node", tribe_node_leave(NULL, 0, err));
  IS_NULL("node", tribe_node_shutdown(NULL, err));
  IS_NULL("node", tribe_member_list(NULL, NONE, &members, err));
  IS_NULL("out", tribe_member_list(NULL, NONE, NULL, err));
  IS_NULL("tribe", tribe_member_list(NULL, NOTHING, &members, err));
  IS_NULL("node", tribe_member_tribes(NULL, NONE, &names, err));
  IS_NULL("out", tribe_member_tribes(NULL, NONE, NULL, err));
  IS_NULL("member", tribe_member_tribes(NULL, NOTHING, &names, err));
  IS_NULL("node", tribe_tribe_create(NULL, TRIBE_S("a"), NONE, &written, err));
  IS_NULL("node", tribe_tribe_describe(NULL, TRIBE_S("a"), NONE, &written, err));
  IS_NULL("node", tribe_member_forget(NULL, TRIBE_S("a"), &written, err));
  IS_NULL("node", tribe_keys(NULL, &text, err));
  IS_NULL("out", tribe_keys(NULL, NULL, err));
  IS_NULL("node", tribe_key_install(NULL, TRIBE_S("a"), &written, err));
  IS_NULL("node", tribe_key_use(NULL, TRIBE_S("a"), false, &written, err));
  IS_NULL("node", tribe_key_remove(NULL, TRIBE_S("a"), false, &written, err));
  IS_NULL("node", tribe_key_rotate(NULL, false, &text, err));
  IS_NULL("out", tribe_key_rotate(NULL, false, NULL, err));
  IS_NULL("node", tribe_tribe_delete(NULL, TRIBE_S("a"), &written, err));
  IS_NULL("node", tribe_tribe_join(NULL, TRIBE_S("a"), NONE, &written, err));
  IS_NULL("node", tribe_tribe_leave(NULL, TRIBE_S("a"), NONE, &written, err));
  IS_NULL("node", tribe_tribe_auto(NULL, TRIBE_S("a"), NONE, &written, err));
  IS_NULL("node", tribe_tribe_list(NULL, &text, err));
  IS_NULL("out", tribe_tribe_list(NULL, NULL, err));
  IS_NULL("node", tribe_policy_create(NULL, TRIBE_S("a"), TRIBE_S("b"), TRIBE_S("c"),
                                      &written, err));
  IS_NULL("node", tribe_policy_put(NULL, TRIBE_S("a"), TRIBE_S("b"), TRIBE_S("c"), NULL,
                                   &written, err));
  IS_NULL("out", tribe_policy_options_new(NULL, err));
  IS_NULL("options", tribe_policy_options_set_replace(NULL, true, err));
  IS_NULL("options", tribe_policy_options_set_enabled(NULL, false, err));
  IS_NULL("node", tribe_policy_delete(NULL, TRIBE_S("a"), &written, err));
  IS_NULL("node", tribe_policy_enable(NULL, TRIBE_S("a"), true, &written, err));
  IS_NULL("node", tribe_policy_list(NULL, &text, err));
  IS_NULL("out", tribe_policy_list(NULL, NULL, err));
  IS_NULL("node", tribe_policy_explain(NULL, TRIBE_S("a"), NONE, &text, err));
  IS_NULL("out", tribe_policy_explain(NULL, TRIBE_S("a"), NONE, NULL, err));
  IS_NULL("policy", tribe_policy_explain(NULL, NOTHING, NONE, &text, err));
  IS_NULL("member", tribe_policy_explain(NULL, TRIBE_S("a"), NOTHING, &text, err));
  IS_NULL("node", tribe_policy_evaluate(NULL, TRIBE_S("a"), NONE, &verdict, err));
  IS_NULL("out", tribe_policy_evaluate(NULL, TRIBE_S("a"), NONE, NULL, err));
  IS_NULL("text", tribe_policy_evaluate(NULL, NOTHING, NONE, &verdict, err));
  IS_NULL("member", tribe_policy_evaluate(NULL, TRIBE_S("a"), NOTHING, &verdict, err));
  IS_NULL("node", tribe_fact_set_str(NULL, NONE, TRIBE_S("a"), TRIBE_S("b"), &written, err));
  IS_NULL("node", tribe_fact_set_i64(NULL, NONE, TRIBE_S("a"), 1, &written, err));
  IS_NULL("node", tribe_fact_set_f64(NULL, NONE, TRIBE_S("a"), 1.0, &written, err));
  IS_NULL("node", tribe_fact_set_bool(NULL, NONE, TRIBE_S("a"), true, &written, err));
  IS_NULL("node", tribe_fact_set_json(NULL, NONE, TRIBE_S("a"), TRIBE_S("1"), &written, err));
  IS_NULL("node", tribe_fact_set_text(NULL, NONE, TRIBE_S("a=1"), &written, err));
  IS_NULL("node", tribe_fact_unset(NULL, NONE, TRIBE_S("a"), &written, err));
  IS_NULL("node", tribe_fact_refresh(NULL, err));
  IS_NULL("node", tribe_events_subscribe(NULL, &events, err));
  IS_NULL("out", tribe_events_subscribe(NULL, NULL, err));
  IS_NULL("events", tribe_events_next(NULL, 0, &event, err));
  IS_NULL("out", tribe_events_next(NULL, 0, NULL, err));

  /* Outputs are written only on success. */
  CHECK(!node && !names && !members && !text && !written && !events && !event);
  CHECK(verdict == 77);
  tribe_config_free(config);
}

static void services(void) {
  tribe_serve_options *options = NULL, *none = NULL;
  tribe_service *service = NULL;
  tribe_caller *caller = NULL;
  tribe_text *text = NULL;
  int fd = 77;
  OK(tribe_serve_options_new(&options, &err));

  IS_NULL("out", tribe_serve_options_new(NULL, err));
  IS_NULL("options", tribe_serve_options_add_tribe(NULL, TRIBE_S("a"), err));
  IS_NULL("tribe", tribe_serve_options_add_tribe(options, NOTHING, err));
  FAILS(TRIBE_STATUS_NAME, tribe_serve_options_add_tribe(options, TRIBE_S("a b"), err));
  IS_NULL("options", tribe_serve_options_set_most(NULL, 1, err));
  IS_NULL("options", tribe_serve_options_set_hidden(NULL, true, err));
  IS_NULL("node", tribe_serve(NULL, TRIBE_S("a"), NULL, &service, err));
  IS_NULL("out", tribe_serve(NULL, TRIBE_S("a"), options, NULL, err));
  IS_NULL("service", tribe_service_accept(NULL, 0, &fd, &caller, err));
  IS_NULL("fd", tribe_service_accept(NULL, 0, NULL, &caller, err));
  IS_NULL("service", tribe_service_close(NULL, err));
  IS_NULL("node", tribe_dial(NULL, TRIBE_S("a"), NONE, TRIBE_S("b"), 0, &fd, &caller, err));
  IS_NULL("fd", tribe_dial(NULL, TRIBE_S("a"), NONE, TRIBE_S("b"), 0, NULL, &caller, err));
  IS_NULL("node", tribe_offers(NULL, NONE, NONE, NONE, NONE, &text, err));
  IS_NULL("out", tribe_offers(NULL, NONE, NONE, NONE, NONE, NULL, err));

  CHECK(!none && !service && !caller && !text && fd == 77);
  tribe_serve_options_free(options);
}

static void getters(void) {
  CHECK(tribe_error_code(NULL) == TRIBE_STATUS_OK);
  CHECK(same(tribe_error_message(NULL), ""));
  CHECK(same(tribe_error_detail(NULL), ""));
  CHECK(tribe_error_line(NULL) == 0 && tribe_error_column(NULL) == 0);
  CHECK(same(tribe_text_str(NULL), ""));
  CHECK(tribe_names_count(NULL) == 0);
  CHECK(same(tribe_names_at(NULL, 0), ""));
  CHECK(same(tribe_node_name(NULL), ""));
  CHECK(same(tribe_node_id(NULL), ""));
  CHECK(same(tribe_node_address(NULL), ""));
  CHECK(!tribe_written_tribe_created(NULL));
  CHECK(tribe_written_warning_count(NULL) == 0);
  CHECK(same(tribe_written_warning_at(NULL, 0), ""));
  CHECK(tribe_members_count(NULL) == 0);
  CHECK(tribe_members_at(NULL, 0) == NULL);
  CHECK(tribe_members_find(NULL, TRIBE_S("a")) == NULL);
  CHECK(tribe_members_find(NULL, NOTHING) == NULL);
  CHECK(same(tribe_member_name(NULL), ""));
  CHECK(same(tribe_member_id(NULL), ""));
  CHECK(same(tribe_member_address(NULL), ""));
  CHECK(tribe_member_state_code(NULL) == TRIBE_MEMBER_STATE_DOWN);
  CHECK(same(tribe_member_state_name(NULL), ""));
  CHECK(same(tribe_member_version(NULL), ""));
  CHECK(tribe_member_policy_level(NULL) == 0);
  CHECK(!tribe_member_agrees(NULL));
  CHECK(tribe_member_tribe_count(NULL) == 0);
  CHECK(same(tribe_member_tribe_at(NULL, 0), ""));
  CHECK(same(tribe_member_facts(NULL), ""));
  CHECK(tribe_events_fd(NULL) == -1);
  CHECK(tribe_service_fd(NULL) == -1);
  CHECK(same(tribe_caller_name(NULL), ""));
  CHECK(same(tribe_caller_id(NULL), ""));
  CHECK(same(tribe_caller_address(NULL), ""));
  CHECK(tribe_event_rev(NULL) == 0);
  CHECK(tribe_event_kind_code(NULL) == TRIBE_EVENT_KIND_UNKNOWN);
  CHECK(same(tribe_event_kind_name(NULL), ""));
  CHECK(same(tribe_event_subject(NULL), ""));
  CHECK(same(tribe_event_body(NULL), ""));
  CHECK(same(tribe_event_json(NULL), ""));
}

static void frees(void) {
  tribe_error_free(NULL);
  tribe_text_free(NULL);
  tribe_names_free(NULL);
  tribe_config_free(NULL);
  tribe_node_free(NULL);
  tribe_written_free(NULL);
  tribe_members_free(NULL);
  tribe_events_free(NULL);
  tribe_event_free(NULL);
  tribe_policy_options_free(NULL);
  tribe_serve_options_free(NULL);
  tribe_service_free(NULL);
  tribe_caller_free(NULL);
}

int main(void) {
  configs();
  policies();
  nodes();
  services();
  getters();
  frees();
  return 0;
}
