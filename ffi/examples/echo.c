/*
 * Serves an echo to the members of a cluster, and dials those of others.
 *
 *     echo c1 --key-file tribe.key --bind 127.0.0.1:6000 --serve echo/c --tribe echoes
 *
 * --tribe joins a tribe, and creates it if there is none. Commands on stdin, one a line:
 *
 *     dial tribe echoes echo/go 64       sends 64 MiB to any member of a tribe that offers the service,
 *     dial node g1 echo/go 64            or to a node, and compares what comes back
 *     quit                               so does the end of stdin
 *
 * What comes of it is printed, one JSON object a line.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <tribe.h>
#include <unistd.h>

enum { BLOCK = 64 * 1024, LINE = 1024, LEAVE_MS = 5000, DIAL_MS = 30000 };

static const uint64_t FNV_START = 14695981039346656037U, FNV_PRIME = 1099511628211U;

static void print_error(const char *subject, tribe_status status, const tribe_error *error) {
  /* Only texts with quotes would need more care; the library's have backticks. */
  printf("{\"kind\":\"failed\",\"subject\":\"%s\",\"body\":{\"code\":\"%s\",\"error\":\"%s\"}}\n", subject,
         tribe_status_name(status), tribe_error_message(error).ptr);
  fflush(stdout);
}

/* Ends the program if a call has failed. */
static void check(const char *what, tribe_status status, tribe_error *error) {
  if (status >= 0) return;
  fprintf(stderr, "%s: %s\n", what, tribe_error_message(error).ptr);
  exit(1);
}

static int write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t sent = write(fd, bytes, length);
    if (sent < 0) return -1;
    bytes += sent;
    length -= (size_t)sent;
  }
  return 0;
}

/* Sends back what comes, while it comes. */
static void *echo(void *argument) {
  int fd = (int)(intptr_t)argument;
  char *block = malloc(BLOCK);
  ssize_t got;
  while (block && (got = read(fd, block, BLOCK)) > 0) {
    if (write_all(fd, block, (size_t)got) < 0) break;
  }
  close(fd);
  free(block);
  return NULL;
}

static void *accept_all(void *service) {
  for (;;) {
    int fd;
    pthread_t thread;
    tribe_status status = tribe_service_accept(service, -1, &fd, NULL, NULL);
    if (status == TRIBE_STATUS_CLOSED) return NULL;
    if (status != TRIBE_STATUS_OK) continue;
    if (pthread_create(&thread, NULL, echo, (void *)(intptr_t)fd) == 0) {
      pthread_detach(thread);
    } else {
      close(fd);
    }
  }
}

static uint64_t add(uint64_t sum, const char *bytes, size_t length) {
  for (size_t at = 0; at < length; at++) sum = (sum ^ (unsigned char)bytes[at]) * FNV_PRIME;
  return sum;
}

typedef struct {
  int fd;
  size_t blocks;
  uint64_t sum;
} sending;

static void *send_blocks(void *argument) {
  sending *self = argument;
  char *block = malloc(BLOCK);
  uint64_t state = 1;
  for (size_t at = 0; block && at < BLOCK; at++) {
    state = state * 6364136223846793005U + 1;
    block[at] = (char)(state >> 33);
  }
  for (size_t number = 0; block && number < self->blocks; number++) {
    /* No block is like another. */
    memcpy(block, &number, sizeof number);
    self->sum = add(self->sum, block, BLOCK);
    if (write_all(self->fd, block, BLOCK) < 0) break;
  }
  shutdown(self->fd, SHUT_WR);
  free(block);
  return NULL;
}

static void dial(tribe_node *node, const char *by, const char *target, const char *service, size_t mib) {
  static char block[BLOCK];
  tribe_error *error = NULL;
  tribe_caller *peer = NULL;
  tribe_str name = tribe_cstr(target), none = TRIBE_S("");
  int fd, tribe = strcmp(by, "tribe") == 0;
  tribe_status status = tribe_dial(node, tribe ? name : none, tribe ? none : name, tribe_cstr(service),
                                   DIAL_MS, &fd, &peer, &error);
  if (status < 0) {
    print_error(service, status, error);
    tribe_error_free(error);
    return;
  }
  pthread_t sender;
  sending out = {.fd = fd, .blocks = mib * (1024 * 1024 / BLOCK), .sum = FNV_START};
  if (pthread_create(&sender, NULL, send_blocks, &out) != 0) abort();
  uint64_t sum = FNV_START, bytes = 0;
  ssize_t got;
  while ((got = read(fd, block, BLOCK)) > 0) {
    sum = add(sum, block, (size_t)got);
    bytes += (uint64_t)got;
  }
  int lost = got < 0 ? errno : 0;
  pthread_join(sender, NULL);
  close(fd);
  printf("{\"kind\":\"dialled\",\"subject\":\"%s\",\"body\":{\"peer\":\"%s\",\"bytes\":%llu,\"same\":%s,"
         "\"error\":%s%s%s}}\n",
         service, tribe_caller_name(peer).ptr, (unsigned long long)bytes,
         sum == out.sum && bytes == out.blocks * BLOCK ? "true" : "false", lost ? "\"" : "",
         lost ? strerror(lost) : "null", lost ? "\"" : "");
  fflush(stdout);
  tribe_caller_free(peer);
}

static tribe_node *start(int argc, char **argv, const char **serve, const char **tribe) {
  tribe_config *config = NULL;
  tribe_node *node = NULL;
  tribe_error *e = NULL;
  check("name", tribe_config_new(tribe_cstr(argc > 1 ? argv[1] : ""), &config, &e), e);
  check("facts", tribe_config_set_collect_facts(config, false, &e), e);
  for (int at = 2; at < argc; at += 2) {
    const char *option = argv[at];
    tribe_str value = tribe_cstr(at + 1 < argc ? argv[at + 1] : NULL);
    if (strcmp(option, "--bind") == 0) {
      check(option, tribe_config_set_bind(config, value, &e), e);
    } else if (strcmp(option, "--seed") == 0) {
      check(option, tribe_config_add_seed(config, value, &e), e);
    } else if (strcmp(option, "--key-file") == 0) {
      check(option, tribe_config_set_key_file(config, value, &e), e);
    } else if (strcmp(option, "--serve") == 0) {
      *serve = value.ptr;
    } else if (strcmp(option, "--tribe") == 0) {
      *tribe = value.ptr;
    } else {
      fprintf(stderr, "usage: echo NAME --key-file FILE --bind IP:PORT [--seed HOST:PORT]... "
                      "[--serve SERVICE] [--tribe TRIBE]\n");
      exit(2);
    }
  }
  check("start", tribe_node_start(config, &node, &e), e);
  tribe_config_free(config);
  return node;
}

static void join(tribe_node *node, const char *tribe) {
  tribe_error *e = NULL;
  tribe_status status = tribe_tribe_create(node, tribe_cstr(tribe), TRIBE_S(""), NULL, &e);
  if (status == TRIBE_STATUS_TRIBE_EXISTS) {
    tribe_error_free(e);
  } else {
    check("create tribe", status, e);
  }
  check("join", tribe_tribe_join(node, tribe_cstr(tribe), TRIBE_S(""), NULL, &e), e);
}

int main(int argc, char **argv) {
  const char *serve = NULL, *tribe = NULL;
  char line[LINE], by[8], target[256], name[257];
  pthread_t acceptor;
  tribe_service *service = NULL;
  tribe_error *e = NULL;
  size_t mib;
  /* A peer that is gone is an error of write(), and no reason to die. */
  signal(SIGPIPE, SIG_IGN);
  tribe_node *node = start(argc, argv, &serve, &tribe);
  if (tribe) join(node, tribe);
  if (serve) {
    check("serve", tribe_serve(node, tribe_cstr(serve), NULL, &service, &e), e);
    if (pthread_create(&acceptor, NULL, accept_all, service) != 0) abort();
  }
  printf("{\"kind\":\"started\",\"subject\":\"%s\",\"body\":{\"address\":\"%s\"}}\n",
         tribe_node_name(node).ptr, tribe_node_address(node).ptr);
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) && strcmp(line, "quit\n") != 0) {
    if (sscanf(line, "dial %7s %255s %256s %zu", by, target, name, &mib) == 4) {
      dial(node, by, target, name, mib);
    }
  }
  if (service) {
    check("close", tribe_service_close(service, &e), e);
    pthread_join(acceptor, NULL);
    tribe_service_free(service);
  }
  tribe_status status = tribe_node_leave(node, LEAVE_MS, NULL);
  tribe_node_free(node);
  return status == TRIBE_STATUS_OK ? 0 : 1;
}
