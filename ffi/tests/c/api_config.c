/* Configurations, errors and texts: all that needs no node. */
#include "check.h"

static void versions(void) {
  char version[32];
  snprintf(version, sizeof version, "%d.%d.%d", TRIBE_VERSION_MAJOR, TRIBE_VERSION_MINOR,
           TRIBE_VERSION_PATCH);
  CHECK(strcmp(tribe_version(), version) == 0);
  CHECK(tribe_abi_version() == TRIBE_ABI_VERSION);
}

static void statuses(void) {
  CHECK(strcmp(tribe_status_name(TRIBE_STATUS_OK), "ok") == 0);
  CHECK(strcmp(tribe_status_name(TRIBE_STATUS_UNKNOWN_TRIBE), "unknown-tribe") == 0);
  CHECK(strcmp(tribe_status_name(12345), "unknown") == 0);
}

static void names(void) {
  tribe_config *config = NULL;
  FAILS(TRIBE_STATUS_NAME, tribe_config_new(TRIBE_S("no spaces"), &config, err));
  FAILS(TRIBE_STATUS_NAME, tribe_config_new(NONE, &config, err));
  FAILS(TRIBE_STATUS_NAME, tribe_config_new(tribe_cstr(NULL), &config, err));
  tribe_str bad = {"\xff\xfe", 2};
  FAILS(TRIBE_STATUS_UTF8, tribe_config_new(bad, &config, err));
  CHECK(config == NULL);

  /* A text need not end in NUL. */
  char raw[2] = {'i', '1'};
  tribe_str name = {raw, sizeof raw};
  OK(tribe_config_new(name, &config, &err));
  tribe_config_free(config);
}

static void settings(void) {
  tribe_config *config = NULL;
  OK(tribe_config_new(tribe_cstr("i1"), &config, &err));
  OK(tribe_config_set_bind(config, TRIBE_S("127.0.0.1:0"), &err));
  OK(tribe_config_set_advertise(config, TRIBE_S("[::1]:6000"), &err));
  OK(tribe_config_add_seed(config, TRIBE_S("i2.example:6000"), &err));
  OK(tribe_config_set_data_dir(config, TRIBE_S("/var/lib/tribe"), &err));
  OK(tribe_config_set_cluster(config, TRIBE_S("test"), &err));
  OK(tribe_config_set_collect_facts(config, false, &err));
  OK(tribe_config_set_hold_down_ms(config, 0, &err));
  OK(tribe_config_set_hold_down_ms(config, UINT64_MAX, &err));
  OK(tribe_config_set_version(config, TRIBE_S("agent/1"), &err));

  FAILS(TRIBE_STATUS_ADDRESS, tribe_config_set_bind(config, TRIBE_S("localhost:1"), err));
  FAILS(TRIBE_STATUS_ADDRESS, tribe_config_set_advertise(config, TRIBE_S("::1"), err));
  FAILS(TRIBE_STATUS_NAME, tribe_config_set_cluster(config, TRIBE_S("a b"), err));

  tribe_node *node = NULL;
  FAILS(TRIBE_STATUS_NO_KEY, tribe_node_start(config, &node, err));
  CHECK(node == NULL);
  tribe_config_free(config);
}

static void facts(void) {
  tribe_config *config = NULL;
  OK(tribe_config_new(TRIBE_S("i1"), &config, &err));
  OK(tribe_config_set_fact_str(config, TRIBE_S("rack"), TRIBE_S("007"), &err));
  OK(tribe_config_set_fact_i64(config, TRIBE_S("rack"), INT64_MIN, &err));
  OK(tribe_config_set_fact_f64(config, TRIBE_S("load"), 0.5, &err));
  OK(tribe_config_set_fact_bool(config, TRIBE_S("tier"), true, &err));
  OK(tribe_config_set_fact_json(config, TRIBE_S("disks"), TRIBE_S("[\"sda\", 1]"), &err));
  OK(tribe_config_set_fact_text(config, TRIBE_S("storage_tier=True"), &err));
  OK(tribe_config_set_fact_text(config, TRIBE_S("flag"), &err));

  double zero = 0.0;
  FAILS(TRIBE_STATUS_NAME, tribe_config_set_fact_i64(config, TRIBE_S("a b"), 1, err));
  FAILS(TRIBE_STATUS_FACT_BUILT_IN, tribe_config_set_fact_text(config, TRIBE_S("os_dist=x"), err));
  FAILS(TRIBE_STATUS_FACT_BUILT_IN,
        tribe_config_set_fact_str(config, TRIBE_S("hostname"), TRIBE_S("x"), err));
  FAILS(TRIBE_STATUS_FACT_VALUE, tribe_config_set_fact_f64(config, TRIBE_S("a"), zero / zero, err));
  FAILS(TRIBE_STATUS_FACT_VALUE,
        tribe_config_set_fact_json(config, TRIBE_S("a"), TRIBE_S("null"), err));
  FAILS(TRIBE_STATUS_FACT_VALUE, tribe_config_set_fact_json(config, TRIBE_S("a"), TRIBE_S("["), err));

  char *large = calloc(1, 5000);
  CHECK(large != NULL);
  memset(large, 'x', 4999);
  FAILS(TRIBE_STATUS_FACT_TOO_LARGE,
        tribe_config_set_fact_str(config, TRIBE_S("a"), tribe_cstr(large), err));
  free(large);
  tribe_config_free(config);
}

static void errors(void) {
  tribe_error *error = NULL;
  tribe_config *config = NULL;
  CHECK(tribe_config_new(TRIBE_S("a b"), &config, &error) == TRIBE_STATUS_NAME);
  CHECK(tribe_error_code(error) == TRIBE_STATUS_NAME);
  CHECK(strstr(tribe_error_message(error).ptr, "`a b` is not a node name") != NULL);
  CHECK(same(tribe_error_detail(error), ""));
  CHECK(tribe_error_line(error) == 0 && tribe_error_column(error) == 0);
  tribe_error_free(error);
}

int main(void) {
  versions();
  statuses();
  names();
  settings();
  facts();
  errors();
  return 0;
}
