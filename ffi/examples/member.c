/*
 * A member of a cluster: it starts a node, joins tribes, and prints what happens, one JSON object a line.
 *
 *     member --name i1 --key-file tribe.key --bind 127.0.0.1:6000 --tribe core
 *     member --name i2 --key-file tribe.key --bind 127.0.0.2:6000 --seed 127.0.0.1:6000 \
 *         --fact storage_tier=True --create-policy storage '{{storage_tier}} == True' storage
 *
 * It leaves on SIGTERM and SIGINT, on the command `quit`, and after --seconds. The commands it reads from
 * stdin, one a line, are listed by `help`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <tribe.h>
#include <unistd.h>

enum { LEAVE_MS = 5000, WAIT_MS = 5000, TRIBES = 32, POLICIES = 8, LINE = 8192 };

typedef struct {
  const char *name, *text, *tribe;
} policy_args;

typedef struct {
  const char *tribes[TRIBES];
  size_t tribe_count;
  policy_args policies[POLICIES];
  size_t policy_count;
  double seconds; /* negative: for ever */
} options;

static volatile sig_atomic_t stopped;

static void stop(int signal_number) {
  (void)signal_number;
  stopped = 1;
}

/* ---- Errors ---- */

static const char USAGE[] =
    "usage: member --name NAME (--key-file FILE | --plaintext) [--bind IP:PORT]\n"
    "    [--advertise IP:PORT] [--seed HOST:PORT]... [--cluster NAME] [--data-dir DIR]\n"
    "    [--no-collect] [--hold-down-ms N] [--fact KEY=VALUE]... [--tribe TRIBE]...\n"
    "    [--create-policy NAME TEXT TRIBE]... [--seconds N]\n";

static void usage(const char *what, const char *argument) {
  fprintf(stderr, "member: %s %s\n%s", what, argument, USAGE);
  exit(2);
}

/* Prints why a call failed, and frees the error. */
static void complain(const char *what, tribe_status status, tribe_error *error) {
  tribe_str detail = tribe_error_detail(error);
  tribe_str message = detail.len > 0 ? detail : tribe_error_message(error);
  fprintf(stderr, "member: %s: %s: %s\n", what, tribe_status_name(status), message.ptr);
  tribe_error_free(error);
}

/* The call, whose last argument is `&error`, or the end of the program. */
#define MUST(call)                          \
  do {                                      \
    tribe_error *error = NULL;              \
    tribe_status status_ = (call);          \
    if (status_ != TRIBE_STATUS_OK) {       \
      complain(#call, status_, error);      \
      exit(1);                              \
    }                                       \
  } while (0)

/* ---- Output ---- */

static void print_json_text(tribe_str text) {
  putchar('"');
  for (size_t at = 0; at < text.len; at++) {
    unsigned char c = (unsigned char)text.ptr[at];
    if (c == '"' || c == '\\') {
      printf("\\%c", c);
    } else if (c < 0x20 || c == 0x7f) {
      printf("\\u%04x", (unsigned)c);
    } else {
      putchar(c);
    }
  }
  putchar('"');
}

static void print_field(const char *name, tribe_str text) {
  printf(",\"%s\":", name);
  print_json_text(text);
}

static void end_line(void) {
  printf("}\n");
  fflush(stdout);
}

static void print_started(const tribe_node *node) {
  printf("{\"kind\":\"started\"");
  print_field("name", tribe_node_name(node));
  print_field("id", tribe_node_id(node));
  print_field("address", tribe_node_address(node));
  end_line();
}

/* The answer to a command. */
static void print_reply(const char *command, tribe_status status, tribe_error *error) {
  printf("{\"kind\":\"reply\"");
  print_field("command", tribe_cstr(command));
  print_field("status", tribe_cstr(tribe_status_name(status)));
  if (status != TRIBE_STATUS_OK) print_field("message", tribe_error_message(error));
  end_line();
  tribe_error_free(error);
}

static void print_tribes(const tribe_member *member) {
  printf("\"tribes\":[");
  for (size_t at = 0; at < tribe_member_tribe_count(member); at++) {
    if (at > 0) putchar(',');
    print_json_text(tribe_member_tribe_at(member, at));
  }
  putchar(']');
}

static void print_member(const tribe_member *member) {
  printf("{\"kind\":\"member\"");
  print_field("name", tribe_member_name(member));
  print_field("id", tribe_member_id(member));
  print_field("address", tribe_member_address(member));
  print_field("state", tribe_member_state_name(member));
  putchar(',');
  print_tribes(member);
  printf(",\"facts\":%s", tribe_member_facts(member).ptr);
  end_line();
}

/* Who was met before there was anyone to hear of it. */
static void print_known(tribe_node *node) {
  tribe_members *members = NULL;
  MUST(tribe_member_list(node, TRIBE_S(""), &members, &error));
  for (size_t at = 0; at < tribe_members_count(members); at++) {
    const tribe_member *member = tribe_members_at(members, at);
    printf("{\"kind\":\"known\"");
    print_field("subject", tribe_member_name(member));
    printf(",\"body\":{");
    print_tribes(member);
    putchar('}');
    end_line();
  }
  tribe_members_free(members);
}

/* Prints the events there are. False once there will be no more. */
static bool print_events(tribe_events *events) {
  for (;;) {
    tribe_event *event = NULL;
    tribe_error *error = NULL;
    tribe_status status = tribe_events_next(events, 0, &event, &error);
    if (status == TRIBE_STATUS_AGAIN) return true;
    if (status != TRIBE_STATUS_OK) {
      if (status != TRIBE_STATUS_CLOSED) complain("events", status, error);
      else tribe_error_free(error);
      return false;
    }
    puts(tribe_event_json(event).ptr);
    fflush(stdout);
    tribe_event_free(event);
  }
}

/* ---- Commands from stdin ---- */

static tribe_status list_members(tribe_node *node, tribe_str tribe, tribe_error **error) {
  tribe_members *members = NULL;
  tribe_status status = tribe_member_list(node, tribe, &members, error);
  for (size_t at = 0; at < tribe_members_count(members); at++) {
    print_member(tribe_members_at(members, at));
  }
  tribe_members_free(members);
  return status;
}

static tribe_status print_text(tribe_status status, tribe_text *text) {
  if (status == TRIBE_STATUS_OK) {
    puts(tribe_text_str(text).ptr);
    fflush(stdout);
  }
  tribe_text_free(text);
  return status;
}

/* Waits till all live members hold what was written, and prints those that do not. */
static tribe_status wait_for(tribe_node *node, tribe_written *written, tribe_error **error) {
  tribe_names *missing = NULL;
  tribe_status status = tribe_node_wait(node, written, WAIT_MS, &missing, error);
  for (size_t at = 0; at < tribe_names_count(missing); at++) {
    printf("{\"kind\":\"missing\"");
    print_field("name", tribe_names_at(missing, at));
    end_line();
  }
  tribe_names_free(missing);
  tribe_written_free(written);
  return status;
}

/* Carries out one line: a verb and at most two words, the last of which takes the rest. False on quit. */
static bool command(tribe_node *node, char *line) {
  char *rest = line;
  const char *verb = strsep(&rest, " ");
  const char *word = rest ? strsep(&rest, " ") : "";
  tribe_str first = tribe_cstr(word), second = tribe_cstr(rest);
  tribe_error *error = NULL;
  tribe_written *written = NULL;
  tribe_text *text = NULL;
  tribe_status status = TRIBE_STATUS_OK;

  if (*verb == '\0') return true;
  if (strcmp(verb, "quit") == 0) return false;
  if (strcmp(verb, "members") == 0) {
    status = list_members(node, first, &error);
  } else if (strcmp(verb, "tribes") == 0) {
    status = print_text(tribe_tribe_list(node, &text, &error), text);
  } else if (strcmp(verb, "policies") == 0) {
    status = print_text(tribe_policy_list(node, &text, &error), text);
  } else if (strcmp(verb, "explain") == 0) {
    status = print_text(tribe_policy_explain(node, first, second, &text, &error), text);
  } else if (strcmp(verb, "create") == 0) {
    status = tribe_tribe_create(node, first, second, &written, &error);
  } else if (strcmp(verb, "delete") == 0) {
    status = tribe_tribe_delete(node, first, &written, &error);
  } else if (strcmp(verb, "join") == 0) {
    status = tribe_tribe_join(node, first, second, &written, &error);
  } else if (strcmp(verb, "leave") == 0) {
    status = tribe_tribe_leave(node, first, second, &written, &error);
  } else if (strcmp(verb, "auto") == 0) {
    status = tribe_tribe_auto(node, first, second, &written, &error);
  } else if (strcmp(verb, "fact") == 0) {
    status = tribe_fact_set_text(node, TRIBE_S(""), first, &written, &error);
  } else if (strcmp(verb, "unset") == 0) {
    status = tribe_fact_unset(node, TRIBE_S(""), first, &written, &error);
  } else {
    fprintf(stderr,
            "member: commands are members [TRIBE], tribes, policies, explain POLICY [NODE],\n"
            "    create TRIBE [DESCRIPTION], delete TRIBE, join|leave|auto TRIBE [NODE],\n"
            "    fact KEY=VALUE, unset KEY, quit\n");
    return true;
  }
  if (status == TRIBE_STATUS_OK && written) status = wait_for(node, written, &error);
  print_reply(verb, status, error);
  return true;
}

/* Reads what stdin has and carries out the whole lines. False on quit; `*open` false at its end. */
static bool read_commands(tribe_node *node, bool *open) {
  static char buffer[LINE];
  static size_t used;
  ssize_t got = read(STDIN_FILENO, buffer + used, sizeof buffer - used);
  if (got <= 0) {
    *open = got < 0 && errno == EINTR;
    return true;
  }
  used += (size_t)got;
  char *line = buffer, *end;
  while ((end = memchr(line, '\n', used - (size_t)(line - buffer))) != NULL) {
    *end = '\0';
    if (!command(node, line)) return false;
    line = end + 1;
  }
  used -= (size_t)(line - buffer);
  memmove(buffer, line, used);
  if (used == sizeof buffer) used = 0; /* No line is that long. */
  return true;
}

/* ---- Start and end ---- */

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static const char *find_name(int argc, char **argv) {
  for (int at = 1; at + 1 < argc; at++) {
    if (strcmp(argv[at], "--name") == 0) return argv[at + 1];
  }
  return NULL;
}

static tribe_config *parse(int argc, char **argv, options *chosen) {
  const char *name = find_name(argc, argv);
  if (!name) usage("there is no", "--name");
  tribe_config *config = NULL;
  MUST(tribe_config_new(tribe_cstr(name), &config, &error));
  for (int at = 1; at < argc;) {
    const char *option = argv[at++];
    if (strcmp(option, "--plaintext") == 0) {
      MUST(tribe_config_set_plaintext(config, &error));
      continue;
    }
    if (strcmp(option, "--no-collect") == 0) {
      MUST(tribe_config_set_collect_facts(config, false, &error));
      continue;
    }
    if (at == argc) usage("there is no value after", option);
    const char *text = argv[at++];
    tribe_str value = tribe_cstr(text);
    if (strcmp(option, "--name") == 0) {
      continue;
    } else if (strcmp(option, "--bind") == 0) {
      MUST(tribe_config_set_bind(config, value, &error));
    } else if (strcmp(option, "--advertise") == 0) {
      MUST(tribe_config_set_advertise(config, value, &error));
    } else if (strcmp(option, "--seed") == 0) {
      MUST(tribe_config_add_seed(config, value, &error));
    } else if (strcmp(option, "--key-file") == 0) {
      MUST(tribe_config_set_key_file(config, value, &error));
    } else if (strcmp(option, "--cluster") == 0) {
      MUST(tribe_config_set_cluster(config, value, &error));
    } else if (strcmp(option, "--data-dir") == 0) {
      MUST(tribe_config_set_data_dir(config, value, &error));
    } else if (strcmp(option, "--hold-down-ms") == 0) {
      MUST(tribe_config_set_hold_down_ms(config, strtoull(text, NULL, 10), &error));
    } else if (strcmp(option, "--fact") == 0) {
      MUST(tribe_config_set_fact_text(config, value, &error));
    } else if (strcmp(option, "--tribe") == 0) {
      if (chosen->tribe_count == TRIBES) usage("too many of", option);
      chosen->tribes[chosen->tribe_count++] = text;
    } else if (strcmp(option, "--create-policy") == 0) {
      if (chosen->policy_count == POLICIES) usage("too many of", option);
      if (at + 2 > argc) usage("NAME TEXT TRIBE must follow", option);
      policy_args policy = {text, argv[at], argv[at + 1]};
      at += 2;
      chosen->policies[chosen->policy_count++] = policy;
    } else if (strcmp(option, "--seconds") == 0) {
      chosen->seconds = strtod(text, NULL);
    } else {
      usage("there is no option", option);
    }
  }
  return config;
}

/* Creates a tribe if there is none of that name, and joins it. */
static void join(tribe_node *node, tribe_str tribe) {
  tribe_error *refusal = NULL;
  tribe_status status = tribe_tribe_create(node, tribe, TRIBE_S(""), NULL, &refusal);
  if (status != TRIBE_STATUS_OK && status != TRIBE_STATUS_TRIBE_EXISTS) {
    complain("create", status, refusal);
    exit(1);
  }
  tribe_error_free(refusal);
  MUST(tribe_tribe_join(node, tribe, TRIBE_S(""), NULL, &error));
}

static void create_policy(tribe_node *node, const policy_args *policy) {
  tribe_written *written = NULL;
  MUST(tribe_policy_create(node, tribe_cstr(policy->name), tribe_cstr(policy->text),
                           tribe_cstr(policy->tribe), &written, &error));
  for (size_t at = 0; at < tribe_written_warning_count(written); at++) {
    fprintf(stderr, "member: warning: %s\n", tribe_written_warning_at(written, at).ptr);
  }
  tribe_written_free(written);
}

/* Waits for events and commands till it is time to leave. */
static void run(tribe_node *node, tribe_events *events, double seconds, const sigset_t *unblocked) {
  double end = now() + seconds;
  bool stdin_open = true;
  while (!stopped) {
    struct pollfd wanted[] = {
        {.fd = tribe_events_fd(events), .events = POLLIN},
        {.fd = stdin_open ? STDIN_FILENO : -1, .events = POLLIN},
    };
    double left = end - now();
    if (seconds >= 0 && left <= 0) return;
    struct timespec timeout = {.tv_sec = (time_t)left,
                               .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
    if (ppoll(wanted, 2, seconds < 0 ? NULL : &timeout, unblocked) < 0) continue; /* A signal. */
    if (wanted[0].revents && !print_events(events)) return;
    if (wanted[1].revents && !read_commands(node, &stdin_open)) return;
  }
}

/* Signals come only while ppoll() waits, and to none of the library's threads. */
static void catch_signals(sigset_t *unblocked) {
  struct sigaction action = {.sa_handler = stop};
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  sigaddset(&blocked, SIGINT);
  pthread_sigmask(SIG_BLOCK, &blocked, unblocked);
  sigdelset(unblocked, SIGTERM);
  sigdelset(unblocked, SIGINT);
}

int main(int argc, char **argv) {
  options chosen = {.seconds = -1};
  tribe_node *node = NULL;
  tribe_events *events = NULL;
  sigset_t unblocked;

  if (tribe_abi_version() != TRIBE_ABI_VERSION) {
    fprintf(stderr, "member: compiled for another libtribe than %s\n", tribe_version());
    return 1;
  }
  catch_signals(&unblocked);
  tribe_config *config = parse(argc, argv, &chosen);
  MUST(tribe_node_start(config, &node, &error));
  tribe_config_free(config);
  MUST(tribe_events_subscribe(node, &events, &error));
  print_started(node);
  print_known(node);
  for (size_t at = 0; at < chosen.policy_count; at++) create_policy(node, &chosen.policies[at]);
  for (size_t at = 0; at < chosen.tribe_count; at++) join(node, tribe_cstr(chosen.tribes[at]));

  run(node, events, chosen.seconds, &unblocked);

  tribe_error *error = NULL;
  tribe_status status = tribe_node_leave(node, LEAVE_MS, &error);
  if (status != TRIBE_STATUS_OK) complain("leave", status, error);
  print_events(events);
  tribe_events_free(events);
  tribe_node_free(node);
  return status == TRIBE_STATUS_OK ? 0 : 1;
}
