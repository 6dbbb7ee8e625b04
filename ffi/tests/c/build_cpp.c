/* Compiled as C++: the header's helpers work there, and link. */
#include "check.h"

int main(void) {
  tribe_config *config = NULL;
  OK(tribe_config_new(TRIBE_S("i1"), &config, &err));
  OK(tribe_config_add_seed(config, tribe_cstr("127.0.0.1:1"), &err));
  tribe_status status = tribe_config_set_cluster(config, TRIBE_S("no spaces"), NULL);
  CHECK(status == TRIBE_STATUS_NAME);
  tribe_config_free(config);
  return 0;
}
