/*
 * tribe: one encrypted cluster without a server, sorted into named, overlapping tribes by policies over
 * facts.
 *
 * What holds for every function here:
 *
 * Status.   A function that can fail returns a tribe_status: 0 is success, negative an error, positive
 *           neither. Check it: the compiler warns if you don't.
 * Errors.   Its last argument takes an error object, or NULL if you want none. It is written only with a
 *           negative status, over whatever was there; free it with tribe_error_free(). There is no
 *           "last error" of a thread.
 * Outputs.  They come last, before the error, and are written only with TRIBE_STATUS_OK. An output must
 *           not be NULL, unless its function says so.
 * Objects.  All are opaque. What you got through an output is yours: free it with the function named
 *           after its type. Nothing else frees or takes anything of yours. NULL is allowed there; freeing
 *           twice is not. An argument that is a pointer to const is not changed.
 * Texts.    A tribe_str is a pointer and a length of UTF-8. As an argument it need not end in NUL, and
 *           lives as long as the call: TRIBE_S("literal") and tribe_cstr(pointer) make one. As a result
 *           it ends in NUL, belongs to the object it was taken from, and lives as long as that.
 * Getters.  What only reads from an object cannot fail: asked of NULL, or beyond the end, it gives an
 *           empty text, 0, false or NULL.
 * Threads.  All functions on a node, on its events and on its services may be called by several threads
 *           at once, but for the one that frees: no other call may be under way then. To wake those that
 *           wait, call tribe_node_shutdown() or tribe_service_close() first. Other objects belong to one
 *           thread at a time, or are read by many.
 * Waiting.  timeout_ms is in milliseconds, negative for ever, 0 not at all.
 * Fork.     In a child of fork() a node, its events and its services return TRIBE_STATUS_FORKED; free
 *           them or not.
 * Host.     The library calls no function of yours, installs no signal handler, never ends the process,
 *           prints nothing, and changes neither locale nor environment. A mistake inside it becomes
 *           TRIBE_STATUS_PANIC. Its threads inherit the signal mask of the one that starts the node.
 *
 * Made from ffi/src by cbindgen: do not edit.
 */

#ifndef TRIBE_H
#define TRIBE_H


#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TRIBE_VERSION_MAJOR 0
#define TRIBE_VERSION_MINOR 1
#define TRIBE_VERSION_PATCH 0

#if defined(_WIN32)
#define TRIBE_API __declspec(dllimport)
#elif defined(__GNUC__)
#define TRIBE_API __attribute__((visibility("default")))
#else
#define TRIBE_API
#endif

#if defined(__GNUC__)
#define TRIBE_NODISCARD __attribute__((warn_unused_result))
#else
#define TRIBE_NODISCARD
#endif

/* A tribe_str from a literal. */
#if defined(__cplusplus)
#define TRIBE_S(literal) (tribe_str{"" literal, sizeof(literal) - 1})
#else
#define TRIBE_S(literal) ((tribe_str){"" literal, sizeof(literal) - 1})
#endif


/**
 * The ABI this header describes. It changes when a program must be compiled again.
 */
#define TRIBE_ABI_VERSION 1

/**
 * What a call came to: 0 is success, negative is an error, positive is neither.
 *
 * A number never gets another meaning; more may be added. -1 and below: general; -100: how a node is
 * configured and started; -200: the cluster; -300: policies; -400: keys; -500: names, tribes and
 * members; -600: facts.
 */
enum tribe_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Done.
   */
  TRIBE_STATUS_OK = 0,
  /**
   * Nothing yet; ask again.
   */
  TRIBE_STATUS_AGAIN = 1,
  /**
   * An argument is NULL that must not be.
   */
  TRIBE_STATUS_NULL = -1,
  /**
   * A text is not UTF-8, or has a length no text can have.
   */
  TRIBE_STATUS_UTF8 = -2,
  /**
   * A mistake in the library was caught. What was asked for may be half done.
   */
  TRIBE_STATUS_PANIC = -3,
  /**
   * The node has left, or was shut down.
   */
  TRIBE_STATUS_CLOSED = -4,
  /**
   * The handle was made before fork(). Start a new node in the child.
   */
  TRIBE_STATUS_FORKED = -5,
  /**
   * It took longer than allowed.
   */
  TRIBE_STATUS_TIMEOUT = -6,
  /**
   * The system has no more threads or descriptors.
   */
  TRIBE_STATUS_SYSTEM = -7,
  /**
   * An error that has no code of its own yet; the message tells.
   */
  TRIBE_STATUS_OTHER = -8,
  /**
   * No key was set, and plaintext was not asked for.
   */
  TRIBE_STATUS_NO_KEY = -100,
  /**
   * The text is not an address `IP:PORT`.
   */
  TRIBE_STATUS_ADDRESS = -101,
  /**
   * The address cannot be bound.
   */
  TRIBE_STATUS_BIND = -102,
  /**
   * It cannot be told which address others reach this node at.
   */
  TRIBE_STATUS_ADVERTISE = -103,
  /**
   * The data directory cannot be used.
   */
  TRIBE_STATUS_DATA_DIR = -104,
  /**
   * The data directory cannot be written to; the write may be lost at the next start.
   */
  TRIBE_STATUS_STORAGE = -105,
  /**
   * The node that must carry it out does not answer.
   */
  TRIBE_STATUS_UNREACHABLE = -200,
  /**
   * The node that must carry it out refused.
   */
  TRIBE_STATUS_REFUSED = -201,
  /**
   * The state of the cluster is full.
   */
  TRIBE_STATUS_FULL = -202,
  /**
   * Another live node holds this node's name.
   */
  TRIBE_STATUS_NAME_TAKEN = -203,
  /**
   * This host's clock is too far from the cluster's to write anything shared.
   */
  TRIBE_STATUS_CLOCK = -204,
  /**
   * No living member of the tribe offers the service. One may come.
   */
  TRIBE_STATUS_NO_OFFER = -205,
  /**
   * The node does not serve this, or does no more.
   */
  TRIBE_STATUS_NO_SERVICE = -206,
  /**
   * The node does not let this one dial the service.
   */
  TRIBE_STATUS_NOT_ALLOWED = -207,
  /**
   * The service has as many streams as it takes. Later there may be room.
   */
  TRIBE_STATUS_BUSY = -208,
  /**
   * This node has not met its cluster yet, and waited in vain for that.
   */
  TRIBE_STATUS_NOT_SYNCED = -209,
  /**
   * The text is not a policy. The error has line, column and detail.
   */
  TRIBE_STATUS_POLICY = -300,
  /**
   * There is no such policy.
   */
  TRIBE_STATUS_UNKNOWN_POLICY = -301,
  /**
   * The policy exists, with another text or tribe.
   */
  TRIBE_STATUS_POLICY_EXISTS = -302,
  /**
   * The policy is of a newer level than this version understands.
   */
  TRIBE_STATUS_POLICY_NOT_UNDERSTOOD = -303,
  /**
   * The text or file is not a key, or the file is open to others.
   */
  TRIBE_STATUS_KEY = -400,
  /**
   * There is no key of this fingerprint, or the text is none.
   */
  TRIBE_STATUS_UNKNOWN_KEY = -401,
  /**
   * The key was removed from the cluster.
   */
  TRIBE_STATUS_KEY_REMOVED = -402,
  /**
   * The key seals: another one has to be used first.
   */
  TRIBE_STATUS_KEY_SEALS = -403,
  /**
   * There are members that are not known to hold the key, or this node does not.
   */
  TRIBE_STATUS_KEY_LACKING = -404,
  /**
   * The cluster is not encrypted, so it has no keys.
   */
  TRIBE_STATUS_PLAINTEXT = -405,
  /**
   * The text is not a name.
   */
  TRIBE_STATUS_NAME = -500,
  /**
   * There is no such tribe.
   */
  TRIBE_STATUS_UNKNOWN_TRIBE = -501,
  /**
   * The tribe exists.
   */
  TRIBE_STATUS_TRIBE_EXISTS = -502,
  /**
   * There is no such node.
   */
  TRIBE_STATUS_UNKNOWN_NODE = -503,
  /**
   * A text is too long.
   */
  TRIBE_STATUS_TOO_LONG = -504,
  /**
   * There is no such item.
   */
  TRIBE_STATUS_UNKNOWN_ITEM = -505,
  /**
   * The item exists.
   */
  TRIBE_STATUS_ITEM_EXISTS = -506,
  /**
   * The node serves a service of that name already.
   */
  TRIBE_STATUS_SERVICE_EXISTS = -507,
  /**
   * The text is not a pattern of services or plugins.
   */
  TRIBE_STATUS_PATTERN = -508,
  /**
   * Either a tribe or a node must be named, and not both.
   */
  TRIBE_STATUS_TARGET = -509,
  /**
   * The node is alive, so it cannot be forgotten.
   */
  TRIBE_STATUS_STILL_ALIVE = -510,
  /**
   * The host itself answers for this fact; it cannot be set.
   */
  TRIBE_STATUS_FACT_BUILT_IN = -600,
  /**
   * The fact, or all facts of the node together, are too large.
   */
  TRIBE_STATUS_FACT_TOO_LARGE = -601,
  /**
   * The text, number or JSON is not a value of a fact.
   */
  TRIBE_STATUS_FACT_VALUE = -602,
  /**
   * The fact is not set at run time, so it cannot be unset.
   */
  TRIBE_STATUS_FACT_NOT_SET = -603,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tribe_status tribe_status;
#else
typedef int32_t tribe_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Is a node there?
 */
enum tribe_member_state
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * It answers.
   */
  TRIBE_MEMBER_STATE_ALIVE = 1,
  /**
   * It said good-bye.
   */
  TRIBE_MEMBER_STATE_LEFT = 2,
  /**
   * It does not answer.
   */
  TRIBE_MEMBER_STATE_DOWN = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tribe_member_state tribe_member_state;
#else
typedef int32_t tribe_member_state;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What a policy says of a node.
 */
enum tribe_verdict
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The node does not match.
   */
  TRIBE_VERDICT_FALSE = 0,
  /**
   * The node matches.
   */
  TRIBE_VERDICT_TRUE = 1,
  /**
   * It cannot be told, for want of a fact; this is no match.
   */
  TRIBE_VERDICT_UNKNOWN = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tribe_verdict tribe_verdict;
#else
typedef int32_t tribe_verdict;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What happened. A number never gets another meaning; more may be added, which an older program sees as
 * numbers it does not know and should let pass.
 */
enum tribe_event_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * A kind that this version has no number for; its name tells.
   */
  TRIBE_EVENT_KIND_UNKNOWN = 0,
  /**
   * A node is alive. Subject: the node. Body: `id`, `address`.
   */
  TRIBE_EVENT_KIND_MEMBER_JOINED = 1,
  /**
   * A node is gone. Subject: the node. Body: `id`, `cause`: `left` or `down`, and later perhaps
   * `forgotten`.
   */
  TRIBE_EVENT_KIND_MEMBER_LEFT = 2,
  /**
   * A node's facts changed. Subject: the node. Body: `set`: name to value, `unset`: names.
   */
  TRIBE_EVENT_KIND_FACT_CHANGED = 3,
  /**
   * A node came into a tribe or went out. Subject: the tribe. Body: `node`, `member`: in or out,
   * `reasons`: why it is in.
   */
  TRIBE_EVENT_KIND_MEMBERSHIP_CHANGED = 4,
  /**
   * A tribe was created or described anew. Subject: the tribe. Body: `description`.
   */
  TRIBE_EVENT_KIND_TRIBE_CREATED = 5,
  /**
   * A tribe was deleted. Subject: the tribe.
   */
  TRIBE_EVENT_KIND_TRIBE_DELETED = 6,
  /**
   * A node was placed by hand. Subject: the tribe. Body: `node`, `placement`.
   */
  TRIBE_EVENT_KIND_PLACEMENT_CHANGED = 7,
  /**
   * A policy was created or replaced. Subject: the policy. Body: `tribe`, `text`, `enabled`.
   */
  TRIBE_EVENT_KIND_POLICY_CHANGED = 8,
  /**
   * A policy was deleted. Subject: the policy.
   */
  TRIBE_EVENT_KIND_POLICY_DELETED = 9,
  /**
   * This node begins to act for a tribe. Subject: the tribe.
   */
  TRIBE_EVENT_KIND_TRIBE_ENTERED = 10,
  /**
   * This node stops to act for a tribe, after the hold-down. Subject: the tribe.
   */
  TRIBE_EVENT_KIND_TRIBE_EXITED = 11,
  /**
   * A write made here lost against a concurrent one. Subject: the record. Body: `lost`, `winner`.
   */
  TRIBE_EVENT_KIND_CONFLICT = 12,
  /**
   * Two live nodes claim one name. Subject: the name. Body: `ids`, `keeps`.
   */
  TRIBE_EVENT_KIND_NAME_CONFLICT = 13,
  /**
   * The first full exchange with the cluster since start is done. Subject: this node.
   */
  TRIBE_EVENT_KIND_SYNCED = 14,
  /**
   * This reader was too slow. Subject: empty. Body: `count` of events it missed. List the members and
   * tribes again.
   */
  TRIBE_EVENT_KIND_MISSED = 15,
  /**
   * An item was put, or should run or not. Subject: the tribe; empty for an item of this node alone.
   * Body: `kind`, `name`, `generation`, `running`.
   */
  TRIBE_EVENT_KIND_ITEM_CHANGED = 16,
  /**
   * An item was removed. Subject: as for an item that changed. Body: `kind`, `name`.
   */
  TRIBE_EVENT_KIND_ITEM_REMOVED = 17,
  /**
   * A node offers other services or blobs. Subject: the node. Body: `services`: names, `blobs`: how
   * many. What a node offers is hidden while it is not alive.
   */
  TRIBE_EVENT_KIND_OFFERS_CHANGED = 18,
  /**
   * A key was installed: all members are to hold it. Subject: its fingerprint.
   */
  TRIBE_EVENT_KIND_KEY_INSTALLED = 19,
  /**
   * A key seals from now on. Subject: its fingerprint.
   */
  TRIBE_EVENT_KIND_KEY_USED = 20,
  /**
   * A key was removed: it opens nothing more. Subject: its fingerprint.
   */
  TRIBE_EVENT_KIND_KEY_REMOVED = 21,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum tribe_event_kind tribe_event_kind;
#else
typedef int32_t tribe_event_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The node at the other end of a stream.
 */
typedef struct tribe_caller tribe_caller;

/**
 * What a node is started with: a name, and what was set. All else is by default.
 */
typedef struct tribe_config tribe_config;

/**
 * Why a call failed.
 */
typedef struct tribe_error tribe_error;

/**
 * One event.
 */
typedef struct tribe_event tribe_event;

/**
 * The events of a node from one moment on. It may outlive the node.
 */
typedef struct tribe_events tribe_events;

/**
 * One member as it was at one moment.
 */
typedef struct tribe_member tribe_member;

/**
 * Members as they were at one moment.
 */
typedef struct tribe_members tribe_members;

/**
 * A list of texts.
 */
typedef struct tribe_names tribe_names;

/**
 * A running node of a cluster.
 */
typedef struct tribe_node tribe_node;

/**
 * A policy on its own, judged without a node.
 */
typedef struct tribe_policy tribe_policy;

/**
 * How tribe_policy_put() puts a policy.
 */
typedef struct tribe_policy_options tribe_policy_options;

/**
 * How a service is served.
 */
typedef struct tribe_serve_options tribe_serve_options;

/**
 * A service that a node serves. It may outlive the node.
 */
typedef struct tribe_service tribe_service;

/**
 * An owned text.
 */
typedef struct tribe_text tribe_text;

/**
 * A record that was written, to be waited for with tribe_node_wait().
 */
typedef struct tribe_written tribe_written;

/**
 * A text: UTF-8, not owned.
 *
 * As an argument `ptr` need not end in NUL, and may be NULL if `len` is 0. As a result `ptr[len]` is
 * NUL, and the text lives as long as the object it was taken from.
 */
typedef struct {
  const char *ptr;
  size_t len;
} tribe_str;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The ABI of the library that runs; compare it with TRIBE_ABI_VERSION.
 */
TRIBE_API uint32_t tribe_abi_version(void);

/**
 * The version of the library that runs, such as `0.1.0`. Static.
 */
TRIBE_API const char *tribe_version(void);

/**
 * A status as text, such as `unknown-tribe`; `unknown` for a number that is none. Static.
 */
TRIBE_API const char *tribe_status_name(int32_t status);

/**
 * The code of an error. TRIBE_STATUS_OK if `error` is NULL.
 */
TRIBE_API tribe_status tribe_error_code(const tribe_error *error);

/**
 * What is wrong, in one line.
 */
TRIBE_API tribe_str tribe_error_message(const tribe_error *error);

/**
 * More about it, in several lines: the text of a policy with a caret under the mistake. Often empty.
 */
TRIBE_API
tribe_str tribe_error_detail(const tribe_error *error);

/**
 * The line of a policy the mistake is in, from 1. 0 if there is none.
 */
TRIBE_API uint32_t tribe_error_line(const tribe_error *error);

/**
 * The character of that line the mistake begins at, from 1. 0 if there is none.
 */
TRIBE_API uint32_t tribe_error_column(const tribe_error *error);

/**
 * Frees an error. NULL is allowed.
 */
TRIBE_API void tribe_error_free(tribe_error *error);

/**
 * The text, which lives as long as `text`. Empty if `text` is NULL.
 */
TRIBE_API tribe_str tribe_text_str(const tribe_text *text);

/**
 * Frees a text. NULL is allowed.
 */
TRIBE_API void tribe_text_free(tribe_text *text);

/**
 * How many names there are. 0 if `names` is NULL.
 */
TRIBE_API size_t tribe_names_count(const tribe_names *names);

/**
 * A name, which lives as long as `names`. Empty if `names` is NULL or has no such index.
 */
TRIBE_API tribe_str tribe_names_at(const tribe_names *names, size_t index);

/**
 * Frees a list of names. NULL is allowed.
 */
TRIBE_API void tribe_names_free(tribe_names *names);

/**
 * Begins a configuration for a node of this name, which must be unique in the cluster. Free it with
 * tribe_config_free(). Name and key alone have no default.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_new(tribe_str name,
                              tribe_config **out,
                              tribe_error **err);

/**
 * Where to listen, UDP and TCP alike: `IP:PORT`. Port 0 takes any free one. Default `0.0.0.0:6000`.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_bind(tribe_config *config,
                                   tribe_str bind,
                                   tribe_error **err);

/**
 * Where others reach this node: `IP:PORT`. Default: the bound address, or that of the default route if
 * all addresses are bound.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_advertise(tribe_config *config,
                                        tribe_str advertise,
                                        tribe_error **err);

/**
 * Adds a node to meet the cluster through: `HOST:PORT`. The host is resolved at every try; seeds are
 * tried for ever.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_add_seed(tribe_config *config,
                                   tribe_str seed,
                                   tribe_error **err);

/**
 * Reads the keys of the cluster from a file, now: one base64 key a line, the first seals, all open. The
 * file must be readable by its owner alone (0600 or 0400).
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_key_file(tribe_config *config,
                                       tribe_str path,
                                       tribe_error **err);

/**
 * Gives the keys of the cluster as text: 32 random bytes in base64, one key a line. The library wipes
 * its own copies; yours is yours to wipe.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_key(tribe_config *config,
                                  tribe_str key,
                                  tribe_error **err);

/**
 * Seals nothing: anyone on the network reads and joins. For tests.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_plaintext(tribe_config *config,
                                        tribe_error **err);

/**
 * Where id, keyring, records and known members are kept. Without one the node is ephemeral: a new id at
 * each start.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_data_dir(tribe_config *config,
                                       tribe_str path,
                                       tribe_error **err);

/**
 * The cluster's name; nodes of different clusters never mix. Default `default`.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_cluster(tribe_config *config,
                                      tribe_str cluster,
                                      tribe_error **err);

/**
 * Gives the node a fact that is a text, whatever it looks like.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_fact_str(tribe_config *config,
                                       tribe_str name,
                                       tribe_str value,
                                       tribe_error **err);

/**
 * Gives the node a fact that is a whole number.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_fact_i64(tribe_config *config,
                                       tribe_str name,
                                       int64_t value,
                                       tribe_error **err);

/**
 * Gives the node a fact that is a finite number.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_fact_f64(tribe_config *config,
                                       tribe_str name,
                                       double value,
                                       tribe_error **err);

/**
 * Gives the node a fact that is a yes or no.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_fact_bool(tribe_config *config,
                                        tribe_str name,
                                        bool value,
                                        tribe_error **err);

/**
 * Gives the node a fact from JSON: a list, a map, or any other value but null.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_fact_json(tribe_config *config,
                                        tribe_str name,
                                        tribe_str json,
                                        tribe_error **err);

/**
 * Gives the node a fact as a command line does: `key=value`, where `True` is a yes, `7` a number and
 * all else a text; or a bare `key`, which is a yes.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_fact_text(tribe_config *config,
                                        tribe_str pair,
                                        tribe_error **err);

/**
 * Collect the facts of this host? Default yes.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_collect_facts(tribe_config *config,
                                            bool collect,
                                            tribe_error **err);

/**
 * How long this node goes on acting for a tribe it fell out of by policy. Default 10,000 ms.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_hold_down_ms(tribe_config *config,
                                           uint64_t hold_down_ms,
                                           tribe_error **err);

/**
 * Name and version of your software, shown to others, such as `my-agent/1.2`.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_config_set_version(tribe_config *config,
                                      tribe_str version,
                                      tribe_error **err);

/**
 * Frees a configuration. Nodes started with it are not touched. NULL is allowed.
 */
TRIBE_API void tribe_config_free(tribe_config *config);

/**
 * Starts a node: binds its sockets, reads its data directory, collects its facts. It does not wait for
 * the seeds; see tribe_node_synced(). The configuration is left as it is. Free the node with
 * tribe_node_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_node_start(const tribe_config *config,
                              tribe_node **out,
                              tribe_error **err);

/**
 * The node's name. It lives as long as the node.
 */
TRIBE_API tribe_str tribe_node_name(const tribe_node *node);

/**
 * The node's id, 16 hexadecimal digits. It lives as long as the node.
 */
TRIBE_API tribe_str tribe_node_id(const tribe_node *node);

/**
 * Where others reach the node, `IP:PORT`. It lives as long as the node.
 */
TRIBE_API tribe_str tribe_node_address(const tribe_node *node);

/**
 * Waits `timeout_ms` (0: not at all, negative: for ever) for the first full exchange with the cluster
 * since start. The first node of a cluster need not wait for anyone.
 *
 * Returns TRIBE_STATUS_AGAIN if it did not happen in time, which makes no error object.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_node_synced(const tribe_node *node,
                               int64_t timeout_ms,
                               tribe_error **err);

/**
 * Asks the live members, for `timeout_ms` (negative: for ever), whether they hold what was written, and
 * gives the names of those that did not say so in time. None: all of them hold it. Free the names with
 * tribe_names_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_node_wait(const tribe_node *node,
                             const tribe_written *written,
                             int64_t timeout_ms,
                             tribe_names **missing,
                             tribe_error **err);

/**
 * Counters of the node, what it received, dropped and why: a JSON object, name to number. Free it with
 * tribe_text_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_node_counters(const tribe_node *node,
                                 tribe_text **out,
                                 tribe_error **err);

/**
 * What the node counts and measures, by the conventions of Prometheus, at most a second old: a
 * JSON array of objects with `name`, `kind` (`counter` or `gauge`), `help`, `labels` (an object)
 * and `value`. Those of one name stand side by side. Free it with tribe_text_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_node_metrics(const tribe_node *node,
                                tribe_text **out,
                                tribe_error **err);

/**
 * Says good-bye and stops, waiting for it `timeout_ms` (negative: for ever). Afterwards all calls return
 * TRIBE_STATUS_CLOSED, those that wait in other threads too. On TRIBE_STATUS_TIMEOUT the node may not
 * have been heard; call tribe_node_shutdown().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_node_leave(tribe_node *node,
                              int64_t timeout_ms,
                              tribe_error **err);

/**
 * Stops without a good-bye: to the others this node is down. May be called from any thread, and more
 * than once; calls that wait in other threads return TRIBE_STATUS_CLOSED, and so do all later ones.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_node_shutdown(tribe_node *node,
                                 tribe_error **err);

/**
 * Shuts the node down, if it runs, and frees it with its threads. No other call on it may be under way.
 * In a child of fork() it only forgets it. NULL is allowed.
 */
TRIBE_API
void tribe_node_free(tribe_node *node);

/**
 * A policy was written whose tribe did not exist: it was created with it.
 */
TRIBE_API bool tribe_written_tribe_created(const tribe_written *written);

/**
 * How many things in the text of a policy that was written may be mistakes.
 */
TRIBE_API size_t tribe_written_warning_count(const tribe_written *written);

/**
 * What may be a mistake in the text of a policy. It lives as long as `written`. Empty if there is no such
 * index.
 */
TRIBE_API
tribe_str tribe_written_warning_at(const tribe_written *written,
                                   size_t index);

/**
 * Frees it. What was written stays. NULL is allowed.
 */
TRIBE_API void tribe_written_free(tribe_written *written);

/**
 * Forgets a node that is down or has left: all nodes drop what it said, and nobody looks for it any more.
 * Where it was placed by hand stays. Should it come back, it is a member like any other.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_member_forget(tribe_node *node,
                                 tribe_str member,
                                 tribe_written **written,
                                 tribe_error **err);

/**
 * Lists the members of a tribe, or all nodes of the cluster if `tribe` is empty; dead ones too. A
 * snapshot; free it with tribe_members_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_member_list(const tribe_node *node,
                               tribe_str tribe,
                               tribe_members **out,
                               tribe_error **err);

/**
 * The tribes a node is in, by name; the node's name empty: this node. Free them with
 * tribe_names_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_member_tribes(const tribe_node *node,
                                 tribe_str member,
                                 tribe_names **out,
                                 tribe_error **err);

/**
 * How many members there are. 0 if `members` is NULL.
 */
TRIBE_API size_t tribe_members_count(const tribe_members *members);

/**
 * A member, which lives as long as `members`. NULL if there is no such index.
 */
TRIBE_API
const tribe_member *tribe_members_at(const tribe_members *members,
                                     size_t index);

/**
 * The member of a name, which lives as long as `members`. Of several the live one. NULL if there is
 * none.
 */
TRIBE_API
const tribe_member *tribe_members_find(const tribe_members *members,
                                       tribe_str name);

/**
 * Frees a list of members. NULL is allowed.
 */
TRIBE_API void tribe_members_free(tribe_members *members);

/**
 * The member's name. All texts of a member live as long as its list.
 */
TRIBE_API tribe_str tribe_member_name(const tribe_member *member);

/**
 * The member's id, 16 hexadecimal digits.
 */
TRIBE_API tribe_str tribe_member_id(const tribe_member *member);

/**
 * Where the member is reached, `IP:PORT`.
 */
TRIBE_API tribe_str tribe_member_address(const tribe_member *member);

/**
 * Is the member there? TRIBE_MEMBER_STATE_DOWN if `member` is NULL.
 */
TRIBE_API tribe_member_state tribe_member_state_code(const tribe_member *member);

/**
 * Is the member there? `alive`, `left` or `down`.
 */
TRIBE_API tribe_str tribe_member_state_name(const tribe_member *member);

/**
 * Software and version the member runs, as it says itself.
 */
TRIBE_API tribe_str tribe_member_version(const tribe_member *member);

/**
 * The highest level of the policy language the member understands.
 */
TRIBE_API uint32_t tribe_member_policy_level(const tribe_member *member);

/**
 * The member computes the same memberships for itself as this node does for it. False for a moment while
 * a change travels; false for long means that the two understand a record differently.
 */
TRIBE_API
bool tribe_member_agrees(const tribe_member *member);

/**
 * How many tribes the member is in.
 */
TRIBE_API size_t tribe_member_tribe_count(const tribe_member *member);

/**
 * A tribe the member is in. Empty if there is no such index.
 */
TRIBE_API tribe_str tribe_member_tribe_at(const tribe_member *member, size_t index);

/**
 * The member's facts, a JSON object on one line: name to value.
 */
TRIBE_API tribe_str tribe_member_facts(const tribe_member *member);

/**
 * Creates a tribe. `description` says what it is for, and may be empty.
 *
 * This and all calls that write return when the record is written here, on disk if there is one; it is
 * on its way to the others. `written` may be NULL; else free it with tribe_written_free().
 *
 * On a node with seeds that has never met its cluster, what concerns all waits up to 10 s for that,
 * and then fails: TRIBE_STATUS_NOT_SYNCED.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_tribe_create(tribe_node *node,
                                tribe_str tribe,
                                tribe_str description,
                                tribe_written **written,
                                tribe_error **err);

/**
 * Says anew what a tribe is for. `description` may be empty.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_tribe_describe(tribe_node *node,
                                  tribe_str tribe,
                                  tribe_str description,
                                  tribe_written **written,
                                  tribe_error **err);

/**
 * Deletes a tribe with its placements, policies and items.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_tribe_delete(tribe_node *node,
                                tribe_str tribe,
                                tribe_written **written,
                                tribe_error **err);

/**
 * Places a node in a tribe by hand. `member` empty: this node. Any other may be named, even one that does
 * not exist yet.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_tribe_join(tribe_node *node,
                              tribe_str tribe,
                              tribe_str member,
                              tribe_written **written,
                              tribe_error **err);

/**
 * Places a node out of a tribe by hand, whatever the policies say. `member` empty: this node.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_tribe_leave(tribe_node *node,
                               tribe_str tribe,
                               tribe_str member,
                               tribe_written **written,
                               tribe_error **err);

/**
 * Gives a node back to the policies of a tribe. `member` empty: this node.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_tribe_auto(tribe_node *node,
                              tribe_str tribe,
                              tribe_str member,
                              tribe_written **written,
                              tribe_error **err);

/**
 * Lists the tribes, a JSON array by name: `name`, `description`, `members` (`name`, `id`, `state`,
 * `reasons`: `kind` and `policy`), `placements` (`node`, `placement`), `policies` (names). Free it with
 * tribe_text_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_tribe_list(const tribe_node *node,
                              tribe_text **out,
                              tribe_error **err);

/**
 * Reads the text of a policy. Free it with tribe_policy_free().
 *
 * A text that is no policy gives TRIBE_STATUS_POLICY and an error with line, column and detail.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_parse(tribe_str text,
                                tribe_policy **out,
                                tribe_error **err);

/**
 * Frees a policy. NULL is allowed.
 */
TRIBE_API void tribe_policy_free(tribe_policy *policy);

/**
 * The policy in its one canonical form. It lives as long as `policy`. Empty if `policy` is NULL.
 */
TRIBE_API
tribe_str tribe_policy_text(const tribe_policy *policy);

/**
 * The lowest level of the policy language that has all this policy uses. 0 if `policy` is NULL.
 */
TRIBE_API
uint32_t tribe_policy_level(const tribe_policy *policy);

/**
 * What a policy says of facts, a JSON object by name.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_eval(const tribe_policy *policy,
                               tribe_str facts,
                               tribe_verdict *out,
                               tribe_error **err);

/**
 * Why a policy says it of facts: a JSON object with `satisfied`, `text` (a tree for people) and `tree`
 * (for machines). Free it with tribe_text_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_explain_facts(const tribe_policy *policy,
                                        tribe_str facts,
                                        tribe_text **out,
                                        tribe_error **err);

/**
 * What may be a mistake in a policy, judged by itself and by the facts of nodes, a JSON array of objects;
 * empty: no nodes. Each name is several lines. Free it with tribe_names_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_check(const tribe_policy *policy,
                                tribe_str nodes,
                                tribe_names **out,
                                tribe_error **err);

/**
 * Creates a policy for a tribe, and the tribe if there is none of that name. The nodes that match are
 * members of the tribe from then on, unless they were placed by hand.
 *
 * A text that is no policy gives TRIBE_STATUS_POLICY and an error with line, column and detail.
 * `written` may be NULL; it has what may be a mistake in the text.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_create(tribe_node *node,
                                 tribe_str policy,
                                 tribe_str text,
                                 tribe_str tribe,
                                 tribe_written **written,
                                 tribe_error **err);

/**
 * Begins options for tribe_policy_put(): there must be no other policy of that name, and it is enabled. Free
 * them with tribe_policy_options_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_options_new(tribe_policy_options **out,
                                      tribe_error **err);

/**
 * May there be one of that name with another text or tribe? It is replaced in one step: nodes that match
 * before and after stay where they are.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_options_set_replace(tribe_policy_options *options,
                                              bool replace,
                                              tribe_error **err);

/**
 * Is it enabled? In one step with the text, so that no node enters for a moment by a policy that should be
 * off. If this is not called, one that is there stays as it is, and a new one is enabled.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_options_set_enabled(tribe_policy_options *options,
                                              bool enabled,
                                              tribe_error **err);

/**
 * Frees options. Policies put with them are not touched. NULL is allowed.
 */
TRIBE_API void tribe_policy_options_free(tribe_policy_options *options);

/**
 * Creates a policy as tribe_policy_create() does, and as these options say: in place of another, or switched
 * off from the start. `options` may be NULL: then it is the same.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_put(tribe_node *node,
                              tribe_str policy,
                              tribe_str text,
                              tribe_str tribe,
                              const tribe_policy_options *options,
                              tribe_written **written,
                              tribe_error **err);

/**
 * Deletes a policy. Nodes that were in its tribe by it alone fall out.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_delete(tribe_node *node,
                                 tribe_str policy,
                                 tribe_written **written,
                                 tribe_error **err);

/**
 * Switches a policy on or off. Only an enabled one places nodes.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_enable(tribe_node *node,
                                 tribe_str policy,
                                 bool enabled,
                                 tribe_written **written,
                                 tribe_error **err);

/**
 * Lists the policies, a JSON array by name: `name`, `tribe`, `text`, `enabled`, `understood`. Free it
 * with tribe_text_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_list(const tribe_node *node,
                               tribe_text **out,
                               tribe_error **err);

/**
 * Explains what a policy says of a node, and why: a JSON object with `policy`, `tribe`, `node`,
 * `satisfied`, `text` (a tree for people) and `tree` (for machines). `member` empty: this node. Free it
 * with tribe_text_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_explain(const tribe_node *node,
                                  tribe_str policy,
                                  tribe_str member,
                                  tribe_text **out,
                                  tribe_error **err);

/**
 * What the text of a policy, which need not exist, says of a node. `member` empty: this node.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_policy_evaluate(const tribe_node *node,
                                   tribe_str text,
                                   tribe_str member,
                                   tribe_verdict *out,
                                   tribe_error **err);

/**
 * Sets a fact that is a text, whatever it looks like.
 *
 * `member` is the node the fact is of, which alone writes it and so must be alive; empty: this node. A
 * fact set so outlives a restart and covers one given at start. `written` may be NULL. So for all that
 * follow.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_fact_set_str(tribe_node *node,
                                tribe_str member,
                                tribe_str name,
                                tribe_str value,
                                tribe_written **written,
                                tribe_error **err);

/**
 * Sets a fact that is a whole number.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_fact_set_i64(tribe_node *node,
                                tribe_str member,
                                tribe_str name,
                                int64_t value,
                                tribe_written **written,
                                tribe_error **err);

/**
 * Sets a fact that is a finite number.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_fact_set_f64(tribe_node *node,
                                tribe_str member,
                                tribe_str name,
                                double value,
                                tribe_written **written,
                                tribe_error **err);

/**
 * Sets a fact that is a yes or no.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_fact_set_bool(tribe_node *node,
                                 tribe_str member,
                                 tribe_str name,
                                 bool value,
                                 tribe_written **written,
                                 tribe_error **err);

/**
 * Sets a fact from JSON: a list, a map, or any other value but null.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_fact_set_json(tribe_node *node,
                                 tribe_str member,
                                 tribe_str name,
                                 tribe_str json,
                                 tribe_written **written,
                                 tribe_error **err);

/**
 * Sets a fact as a command line does: `key=value`, where `True` is a yes, `7` a number and all else a
 * text; or a bare `key`, which is a yes.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_fact_set_text(tribe_node *node,
                                 tribe_str member,
                                 tribe_str pair,
                                 tribe_written **written,
                                 tribe_error **err);

/**
 * Unsets a fact that was set while the node ran: what was given at start, or collected, shows again.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_fact_unset(tribe_node *node,
                              tribe_str member,
                              tribe_str name,
                              tribe_written **written,
                              tribe_error **err);

/**
 * Collects the facts of this host again, now.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_fact_refresh(tribe_node *node,
                                tribe_error **err);

/**
 * Begins to collect the events of a node. Free it with tribe_events_free(), before or after the node.
 * Take what is there regularly: a reader that falls far behind gets TRIBE_EVENT_KIND_MISSED.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_events_subscribe(tribe_node *node,
                                    tribe_events **out,
                                    tribe_error **err);

/**
 * The next event, waiting for it `timeout_ms` (0: not at all, negative: for ever). May be called by
 * several threads. Free the event with tribe_event_free().
 *
 * Returns TRIBE_STATUS_AGAIN if none came in time, which is no error and makes no error object.
 * Once the node has left or was shut down, and what is left was fetched: TRIBE_STATUS_CLOSED.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_events_next(tribe_events *events,
                               int64_t timeout_ms,
                               tribe_event **out,
                               tribe_error **err);

/**
 * A descriptor that is readable while tribe_events_next() would not wait, for poll() and its like. It
 * is the library's: neither read nor close it. It lives as long as `events`. -1 if `events` is NULL.
 */
TRIBE_API
int tribe_events_fd(const tribe_events *events);

/**
 * Ends the collecting and frees what was not fetched. No thread may be in tribe_events_next(). NULL is
 * allowed.
 */
TRIBE_API
void tribe_events_free(tribe_events *events);

/**
 * Revision of the node's knowledge that first shows the change. 0 if `event` is NULL.
 */
TRIBE_API uint64_t tribe_event_rev(const tribe_event *event);

/**
 * What happened, as a number.
 */
TRIBE_API tribe_event_kind tribe_event_kind_code(const tribe_event *event);

/**
 * What happened, as text, such as `member-joined`.
 */
TRIBE_API tribe_str tribe_event_kind_name(const tribe_event *event);

/**
 * The name of the node, tribe or policy it happened to.
 */
TRIBE_API tribe_str tribe_event_subject(const tribe_event *event);

/**
 * Details, a JSON object on one line. Let fields pass that you don't know.
 */
TRIBE_API tribe_str tribe_event_body(const tribe_event *event);

/**
 * The whole event, a JSON object on one line: `rev`, `kind`, `subject`, `body`.
 */
TRIBE_API tribe_str tribe_event_json(const tribe_event *event);

/**
 * Frees an event. NULL is allowed.
 */
TRIBE_API void tribe_event_free(tribe_event *event);

/**
 * Begins options for tribe_serve(): any node of the cluster may dial, 256 streams at a time, offered to all.
 * Free them with tribe_serve_options_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_serve_options_new(tribe_serve_options **out,
                                     tribe_error **err);

/**
 * Lets members of this tribe in. Once one tribe is named, only members of named tribes may dial.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_serve_options_add_tribe(tribe_serve_options *options,
                                           tribe_str tribe,
                                           tribe_error **err);

/**
 * Most streams at a time, from who dials to when both directions are over. Who dials beyond gets
 * TRIBE_STATUS_BUSY.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_serve_options_set_most(tribe_serve_options *options,
                                          size_t most,
                                          tribe_error **err);

/**
 * Hide it from what the node offers? Then only who knows of it dials it, by the node's name.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_serve_options_set_hidden(tribe_serve_options *options,
                                            bool hidden,
                                            tribe_error **err);

/**
 * Frees options. Services served with them are not touched. NULL is allowed.
 */
TRIBE_API void tribe_serve_options_free(tribe_serve_options *options);

/**
 * Serves a service of this name, such as `echo/1`, to the members of the cluster, over its own encrypted
 * streams: nothing new listens on the network. `options` may be NULL. Free the service with
 * tribe_service_free(), before or after the node.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_serve(tribe_node *node,
                         tribe_str name,
                         const tribe_serve_options *options,
                         tribe_service **out,
                         tribe_error **err);

/**
 * The next stream of one who dialled, waiting for it `timeout_ms` (0: not at all, negative: for ever). May
 * be called by several threads. Free the caller with tribe_caller_free(); `caller` may be NULL.
 *
 * The stream is a connected socket that is yours: read() and write() it, poll() it, set it non-blocking,
 * close() it.
 * - shutdown(fd, SHUT_WR) ends your direction, and so does close() once you have read all that came. To
 *   close with bytes unread is an error to the peer.
 * - read() returns 0 when the peer has ended its direction. If the stream is lost instead, because the
 *   peer died, say, read() gives what had come and then fails, once, with ECONNRESET. (On Linux.
 *   Elsewhere a lost stream looks like an end: send lengths.) It is told once, so have one thread read.
 * - write() waits while the peer does not read, and fails with EPIPE when the stream is lost or the peer
 *   gone; it raises SIGPIPE as on any socket: ignore that, or use send() with MSG_NOSIGNAL.
 *
 * Returns TRIBE_STATUS_AGAIN if nobody dialled in time, which is no error and makes no error object.
 * Once the service is closed, or the node has left or was shut down: TRIBE_STATUS_CLOSED. If there are no
 * descriptors left: TRIBE_STATUS_SYSTEM; that stream is lost, go on with the next.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_service_accept(tribe_service *service,
                                  int64_t timeout_ms,
                                  int *fd,
                                  tribe_caller **caller,
                                  tribe_error **err);

/**
 * A descriptor that is readable while tribe_service_accept() would not wait, for poll() and its like. It is
 * the library's: neither read nor close it. It lives as long as `service`. -1 if `service` is NULL.
 */
TRIBE_API
int tribe_service_fd(const tribe_service *service);

/**
 * Withdraws a service. May be called from any thread, and more than once: those that wait in
 * tribe_service_accept() return TRIBE_STATUS_CLOSED. Streams that were accepted go on; who dialled and was
 * not accepted gets an error.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_service_close(tribe_service *service,
                                 tribe_error **err);

/**
 * Withdraws a service, if that was not done, and frees it. No thread may be in tribe_service_accept(). NULL
 * is allowed.
 */
TRIBE_API
void tribe_service_free(tribe_service *service);

/**
 * Dials a service: of a node, if `member` names it, or of any member of a tribe that offers it, if `tribe`
 * does; the other one is empty. Of a tribe's members that answer it is one with little to do; if one
 * fails, the next is tried. A service of this node itself is reached without any network. Waits
 * `timeout_ms` (negative: for ever).
 *
 * The stream is a connected socket that is yours; tribe_service_accept() tells how it ends. `peer` is the
 * node that was reached, to be freed with tribe_caller_free(); it may be NULL.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_dial(tribe_node *node,
                        tribe_str tribe,
                        tribe_str member,
                        tribe_str service,
                        int64_t timeout_ms,
                        int *fd,
                        tribe_caller **peer,
                        tribe_error **err);

/**
 * The node's name. It lives as long as `caller`.
 */
TRIBE_API tribe_str tribe_caller_name(const tribe_caller *caller);

/**
 * The node's id, 16 hexadecimal digits. It lives as long as `caller`.
 */
TRIBE_API tribe_str tribe_caller_id(const tribe_caller *caller);

/**
 * Where the node is reached, `IP:PORT`. It lives as long as `caller`.
 */
TRIBE_API tribe_str tribe_caller_address(const tribe_caller *caller);

/**
 * Frees a caller. NULL is allowed.
 */
TRIBE_API void tribe_caller_free(tribe_caller *caller);

/**
 * Lists what live nodes offer, a JSON array by service and node: `node`, `id`, `tribes` (names),
 * `service`, `plugin` (`type`, `name`, `version`; null if the service is no plugin). It asks nobody: every
 * node knows it. Free it with tribe_text_free().
 *
 * Each text that is not empty leaves out what does not fit: `tribe` and `member` by their names; `service`
 * by a name in which `*` is any text, as in `echo/` and a star; `plugin` as `TYPE:NAME:VERSIONS`, as in
 * `publisher:influxdb:>=20,<30`, where parts may be `*` or left out at the end.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_offers(const tribe_node *node,
                          tribe_str tribe,
                          tribe_str member,
                          tribe_str service,
                          tribe_str plugin,
                          tribe_text **out,
                          tribe_error **err);

/**
 * Tells how far the keys of the cluster are and who holds them, by fingerprints: a JSON object of `keys` (each
 * `id`, `phase`: `installed`, `in-use` or `removed`, `held`: by this node) and `members` (each `node`, `alive`,
 * `keys`: the sealing one first, null if it has not said). Waits up to a second for members that have not.
 * Free it with tribe_text_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_keys(tribe_node *node,
                        tribe_text **out,
                        tribe_error **err);

/**
 * Has all members hold a key, 32 bytes in base64: they open what is sealed with it, and seal with another one as
 * before.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_key_install(tribe_node *node,
                               tribe_str key,
                               tribe_written **written,
                               tribe_error **err);

/**
 * Has all members seal with a key that is installed, by its fingerprint. All must hold it, unless it is forced.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_key_use(tribe_node *node,
                           tribe_str id,
                           bool force,
                           tribe_written **written,
                           tribe_error **err);

/**
 * Has no member open what is sealed with a key, by its fingerprint. Who was away and has only this one is
 * handed the others for 7 days. All must hold the key that seals, unless it is forced.
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_key_remove(tribe_node *node,
                              tribe_str id,
                              bool force,
                              tribe_written **written,
                              tribe_error **err);

/**
 * Exchanges the key of the cluster for a new one: installs it, uses it once all members hold it, removes the
 * old one once all seal with it, and gives the new one's fingerprint. It waits for living members as long as it
 * takes. If it was broken off, here or elsewhere, it goes on from there. With `force` it does so without
 * members that are down. Free the text with tribe_text_free().
 */
TRIBE_API
TRIBE_NODISCARD
tribe_status tribe_key_rotate(tribe_node *node,
                              bool force,
                              tribe_text **out,
                              tribe_error **err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* A tribe_str from a text that ends in NUL, or from NULL, which gives the empty one. */
static inline tribe_str tribe_cstr(const char *text) {
  tribe_str str;
  str.ptr = text;
  str.len = text ? strlen(text) : 0;
  return str;
}

#endif /* TRIBE_H */
