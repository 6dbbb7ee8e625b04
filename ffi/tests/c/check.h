/* What the test programs share. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tribe.h>

/* 32 bytes nobody keeps secret. */
#define KEY "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="
#define NONE TRIBE_S("")

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) {                                                      \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                               \
    }                                                                        \
  } while (0)

/* The call, whose last argument is `&err`, succeeds. */
#define OK(call)                                                             \
  do {                                                                       \
    tribe_error *err = NULL;                                                 \
    tribe_status status_ = (call);                                           \
    if (status_ != TRIBE_STATUS_OK) {                                        \
      fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call,      \
              tribe_status_name(status_), tribe_error_message(err).ptr);     \
      exit(1);                                                               \
    }                                                                        \
    CHECK(err == NULL);                                                      \
  } while (0)

/* The call, whose last argument is `err`, fails so, with an error object if one is wanted. */
#define FAILS(expected, call)                                                \
  do {                                                                       \
    tribe_error *error_ = NULL, **err = &error_;                             \
    tribe_status status_ = (call);                                           \
    if (status_ != (expected)) {                                             \
      fprintf(stderr, "%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call,      \
              tribe_status_name(status_), tribe_error_message(error_).ptr);  \
      exit(1);                                                               \
    }                                                                        \
    CHECK(tribe_error_code(error_) == (expected));                           \
    CHECK(tribe_error_message(error_).len > 0);                              \
    tribe_error_free(error_);                                                \
    err = NULL;                                                              \
    CHECK((call) == (expected));                                             \
  } while (0)

/* The same, and the message names the argument that is NULL. */
#define IS_NULL(name, call)                                                  \
  do {                                                                       \
    tribe_error *named_ = NULL, **err = &named_;                             \
    CHECK((call) == TRIBE_STATUS_NULL);                                      \
    if (strcmp(tribe_error_message(named_).ptr, "`" name "` is NULL") != 0) { \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call,          \
              tribe_error_message(named_).ptr);                              \
      exit(1);                                                               \
    }                                                                        \
    tribe_error_free(named_);                                                \
    err = NULL;                                                              \
    CHECK((call) == TRIBE_STATUS_NULL);                                      \
  } while (0)

static inline int same(tribe_str text, const char *expected) {
  CHECK(text.ptr[text.len] == '\0');
  return strcmp(text.ptr, expected) == 0;
}

#endif
