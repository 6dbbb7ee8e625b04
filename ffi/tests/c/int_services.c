/* Services are served, found and dialled; streams are sockets that end, wait and break as sockets do. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include "live.h"

enum { MUCH = 8 * 1024 * 1024 };

/* Reads until the end; how many bytes there were, or -1. */
static ssize_t read_all(int fd, char *into, size_t room) {
  size_t length = 0;
  for (;;) {
    ssize_t got = read(fd, into + length, room - length);
    if (got <= 0) return got < 0 ? -1 : (ssize_t)length;
    length += (size_t)got;
  }
}

static void write_all(int fd, const char *bytes, size_t length) {
  while (length > 0) {
    ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
    CHECK(sent > 0);
    bytes += sent;
    length -= (size_t)sent;
  }
}

/* Answers each stream with what it is sent, once that is over, until the service is closed. */
static void *echo(void *argument) {
  static char heard[MUCH];
  int fd = -1;
  while (tribe_service_accept(argument, -1, &fd, NULL, NULL) == TRIBE_STATUS_OK) {
    ssize_t length = read_all(fd, heard, sizeof heard);
    CHECK(length >= 0);
    write_all(fd, heard, (size_t)length);
    CHECK(close(fd) == 0);
  }
  return NULL;
}

static void says(int fd, const char *words) {
  char heard[64];
  write_all(fd, words, strlen(words));
  CHECK(shutdown(fd, SHUT_WR) == 0);
  CHECK(read_all(fd, heard, sizeof heard) == (ssize_t)strlen(words));
  CHECK(memcmp(heard, words, strlen(words)) == 0);
  CHECK(close(fd) == 0);
}

static int dial(tribe_node *node, const char *tribe, const char *member, const char *service) {
  int fd = -1;
  OK(tribe_dial(node, tribe_cstr(tribe), tribe_cstr(member), tribe_cstr(service), PATIENCE_MS, &fd,
                NULL, &err));
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
  return fd;
}

static void both_ends_know_each_other(tribe_node *a, tribe_node *b) {
  tribe_service *service = NULL;
  tribe_caller *peer = NULL, *caller = NULL;
  int dialled = -1, accepted = -1;
  OK(tribe_serve(a, TRIBE_S("who"), NULL, &service, &err));
  CHECK(tribe_service_accept(service, 0, &accepted, &caller, NULL) == TRIBE_STATUS_AGAIN);
  struct pollfd wake = {.fd = tribe_service_fd(service), .events = POLLIN, .revents = 0};
  CHECK(poll(&wake, 1, 0) == 0);
  OK(tribe_dial(b, NONE, TRIBE_S("i1"), TRIBE_S("who"), PATIENCE_MS, &dialled, &peer, &err));
  CHECK(poll(&wake, 1, PATIENCE_MS) == 1);
  OK(tribe_service_accept(service, 0, &accepted, &caller, &err));
  CHECK(poll(&wake, 1, 0) == 0);
  CHECK(same(tribe_caller_name(peer), "i1"));
  CHECK(same(tribe_caller_id(peer), tribe_node_id(a).ptr));
  CHECK(same(tribe_caller_address(peer), tribe_node_address(a).ptr));
  CHECK(same(tribe_caller_name(caller), "i2"));
  CHECK(same(tribe_caller_id(caller), tribe_node_id(b).ptr));
  tribe_caller_free(peer);
  tribe_caller_free(caller);
  /* Who accepts may speak first. */
  char word[8] = "";
  write_all(accepted, "welcome", 7);
  CHECK(recv(dialled, word, 7, MSG_WAITALL) == 7);
  CHECK(strcmp(word, "welcome") == 0);
  close(accepted);
  close(dialled);
  tribe_service_free(service);
}

static void refusals_say_why(tribe_node *a, tribe_node *b) {
  tribe_serve_options *options = NULL;
  tribe_service *service = NULL, *twice = NULL;
  tribe_written *written = NULL;
  int fd = -1;
  FAILS(TRIBE_STATUS_TARGET, tribe_dial(b, NONE, NONE, TRIBE_S("x"), -1, &fd, NULL, err));
  FAILS(TRIBE_STATUS_TARGET,
        tribe_dial(b, TRIBE_S("core"), TRIBE_S("i1"), TRIBE_S("x"), -1, &fd, NULL, err));
  FAILS(TRIBE_STATUS_UNKNOWN_NODE,
        tribe_dial(b, NONE, TRIBE_S("i9"), TRIBE_S("x"), -1, &fd, NULL, err));
  FAILS(TRIBE_STATUS_UNKNOWN_TRIBE,
        tribe_dial(b, TRIBE_S("corr"), NONE, TRIBE_S("x"), -1, &fd, NULL, err));
  FAILS(TRIBE_STATUS_NAME, tribe_dial(b, NONE, TRIBE_S("i1"), TRIBE_S("x y"), -1, &fd, NULL, err));
  FAILS(TRIBE_STATUS_NO_SERVICE,
        tribe_dial(b, NONE, TRIBE_S("i1"), TRIBE_S("x"), -1, &fd, NULL, err));
  FAILS(TRIBE_STATUS_NO_OFFER,
        tribe_dial(b, TRIBE_S("core"), NONE, TRIBE_S("x"), -1, &fd, NULL, err));

  OK(tribe_tribe_create(a, TRIBE_S("few"), NONE, &written, &err));
  held(a, written);
  OK(tribe_serve_options_new(&options, &err));
  OK(tribe_serve_options_add_tribe(options, TRIBE_S("few"), &err));
  OK(tribe_serve_options_set_most(options, 1, &err));
  OK(tribe_serve_options_set_hidden(options, true, &err));
  OK(tribe_serve(a, TRIBE_S("x"), options, &service, &err));
  FAILS(TRIBE_STATUS_SERVICE_EXISTS, tribe_serve(a, TRIBE_S("x"), options, &twice, err));
  FAILS(TRIBE_STATUS_NAME, tribe_serve(a, TRIBE_S("x y"), NULL, &twice, err));
  tribe_serve_options_free(options);
  FAILS(TRIBE_STATUS_NOT_ALLOWED,
        tribe_dial(b, NONE, TRIBE_S("i1"), TRIBE_S("x"), -1, &fd, NULL, err));
  OK(tribe_tribe_join(a, TRIBE_S("few"), TRIBE_S("i2"), &written, &err));
  held(a, written);
  int first = dial(b, "", "i1", "x");
  FAILS(TRIBE_STATUS_BUSY, tribe_dial(b, NONE, TRIBE_S("i1"), TRIBE_S("x"), -1, &fd, NULL, err));
  CHECK(fd == -1);
  /* Who was not accepted gets an error. */
  char byte;
  OK(tribe_service_close(service, &err));
  CHECK(read(first, &byte, 1) == -1 && errno == ECONNRESET);
  close(first);
  tribe_service_free(service);
}

static void offers_are_found(tribe_node *b, tribe_events *heard) {
  tribe_text *text = NULL;
  expect(heard, TRIBE_EVENT_KIND_OFFERS_CHANGED, "i1", "publisher/influxdb/25");
  OK(tribe_offers(b, TRIBE_S("core"), NONE, NONE, TRIBE_S("publisher:influxdb:>=20"), &text, &err));
  CHECK(strstr(tribe_text_str(text).ptr,
               "\"plugin\":{\"name\":\"influxdb\",\"type\":\"publisher\",\"version\":25}") != NULL);
  CHECK(strstr(tribe_text_str(text).ptr, "\"node\":\"i1\"") != NULL);
  tribe_text_free(text);
  OK(tribe_offers(b, NONE, TRIBE_S("i1"), TRIBE_S("ech*"), NONE, &text, &err));
  CHECK(strstr(tribe_text_str(text).ptr, "\"plugin\":null,\"service\":\"echo\"") != NULL);
  CHECK(strstr(tribe_text_str(text).ptr, "influxdb") == NULL);
  tribe_text_free(text);
  OK(tribe_offers(b, NONE, TRIBE_S("i2"), NONE, NONE, &text, &err));
  CHECK(same(tribe_text_str(text), "[]"));
  tribe_text_free(text);
  FAILS(TRIBE_STATUS_PATTERN, tribe_offers(b, NONE, NONE, TRIBE_S("a b"), NONE, &text, err));
  FAILS(TRIBE_STATUS_PATTERN, tribe_offers(b, NONE, NONE, NONE, TRIBE_S("a:b:c"), &text, err));
  FAILS(TRIBE_STATUS_UNKNOWN_NODE, tribe_offers(b, NONE, TRIBE_S("i9"), NONE, NONE, &text, err));
}

/* A writer that must not block is told when there is room, to the last byte. */
static void much_goes_through_a_socket_that_does_not_block(tribe_node *b) {
  static char out[MUCH], heard[MUCH];
  for (size_t at = 0; at < MUCH; at++) out[at] = (char)(at * 2654435761U >> 16);
  int fd = dial(b, "core", "", "echo");
  CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
  size_t written = 0, got = 0;
  bool ended = false;
  while (!ended) {
    struct pollfd ready = {.fd = fd, .events = POLLIN, .revents = 0};
    if (written < MUCH) ready.events |= POLLOUT;
    CHECK(poll(&ready, 1, PATIENCE_MS) == 1);
    if ((ready.revents & POLLOUT) != 0) {
      ssize_t sent = send(fd, out + written, MUCH - written, MSG_NOSIGNAL);
      CHECK(sent > 0 || errno == EAGAIN);
      if (sent > 0) written += (size_t)sent;
      if (written == MUCH) CHECK(shutdown(fd, SHUT_WR) == 0);
    }
    if ((ready.revents & POLLIN) != 0) {
      ssize_t more = read(fd, heard + got, MUCH - got);
      if (got == MUCH) {
        CHECK(more == 0);
        ended = true;
      } else {
        CHECK(more > 0);
        got += (size_t)more;
      }
    }
  }
  CHECK(memcmp(out, heard, MUCH) == 0);
  close(fd);
}

static void a_peer_that_stops_is_an_error_after_what_it_sent(tribe_node *a, tribe_node *b) {
  tribe_service *service = NULL;
  char heard[16];
  int accepted = -1;
  OK(tribe_serve(a, TRIBE_S("dies"), NULL, &service, &err));
  int dialled = dial(b, "", "i1", "dies");
  OK(tribe_service_accept(service, PATIENCE_MS, &accepted, NULL, &err));
  write_all(accepted, "half", 4);
  CHECK(recv(dialled, heard, 4, MSG_WAITALL | MSG_PEEK) == 4);
  OK(tribe_node_shutdown(a, &err));
  CHECK(read_all(dialled, heard, sizeof heard) == -1 && errno == ECONNRESET);
  CHECK(memcmp(heard, "half", 4) == 0);
  CHECK(send(dialled, "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE);
  CHECK(read_all(accepted, heard, sizeof heard) == -1 && errno == ECONNRESET);
  close(dialled);
  close(accepted);
  tribe_service_free(service);
}

int main(void) {
  tribe_events *heard = NULL;
  tribe_written *written = NULL;
  tribe_service *service = NULL, *plugin = NULL;
  pthread_t server;
  tribe_node *a = start("i1", "127.0.0.1:0", NONE);
  tribe_node *b = start("i2", "127.0.0.2:0", tribe_node_address(a));
  OK(tribe_node_synced(b, PATIENCE_MS, &err));
  OK(tribe_events_subscribe(b, &heard, &err));
  OK(tribe_tribe_create(b, TRIBE_S("core"), NONE, &written, &err));
  held(b, written);
  OK(tribe_tribe_join(b, TRIBE_S("core"), TRIBE_S("i1"), &written, &err));
  held(b, written);

  both_ends_know_each_other(a, b);
  refusals_say_why(a, b);
  OK(tribe_serve(a, TRIBE_S("echo"), NULL, &service, &err));
  OK(tribe_serve(a, TRIBE_S("publisher/influxdb/25"), NULL, &plugin, &err));
  CHECK(pthread_create(&server, NULL, echo, service) == 0);
  offers_are_found(b, heard);
  says(dial(b, "core", "", "echo"), "by tribe");
  says(dial(b, "", "i1", "echo"), "by node");
  says(dial(a, "", "i1", "echo"), "to myself");
  much_goes_through_a_socket_that_does_not_block(b);
  OK(tribe_service_close(service, &err));
  pthread_join(server, NULL);
  a_peer_that_stops_is_an_error_after_what_it_sent(a, b);

  tribe_service_free(service);
  tribe_service_free(plugin);
  tribe_events_free(heard);
  tribe_node_free(b);
  tribe_node_free(a);
  return 0;
}
