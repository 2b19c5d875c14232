/* Evenkeel's runtime for C and C++: runs .keel models. Made of the crate evenkeel-c by `cargo xtask header`; do not edit.
 *
 *     ek_model model;
 *     ek_session session;
 *     size_t class_index;
 *     if (ek_model_verify(bytes, length, &model) == EK_STATUS_OK
 *         && ek_session_init(&session, &model, arena, sizeof arena) == EK_STATUS_OK
 *         && ek_quantise_input(&session, values, count) == EK_STATUS_OK
 *         && ek_session_run(&session) == EK_STATUS_OK
 *         && ek_session_classify(&session, &class_index) == EK_STATUS_OK) { ... }
 *
 * Nothing is allocated, nothing is kept outside of what the caller gives, and no function uses global state. Every
 * pointer is checked for NULL and alignment. One object may be used by one thread at a time.
 */

#ifndef EVENKEEL_H
#define EVENKEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the objects that the caller provides room for. */
#define EK_MODEL_SIZE (EK_MODEL_WORDS * sizeof(uintptr_t))
#define EK_SESSION_SIZE (EK_SESSION_WORDS * sizeof(uintptr_t))
#define EK_MONITOR_SIZE (EK_MONITOR_WORDS * sizeof(uintptr_t))

/* Words (of uint32_t) of a monitor's state, for so many groups and pending labels. */
#define EK_MONITOR_STATE_WORDS(groups, slots) \
  (EK_MONITOR_COMMON_WORDS + (groups) * EK_MONITOR_GROUP_WORDS + (slots))

/* The group of somebody whose group nobody knows. It is a cell of its own, which no test sees. */
#define EK_UNKNOWN_GROUP SIZE_MAX

// Words (of `uintptr_t`) of a model.
#define EK_MODEL_WORDS 30

// Words (of `uintptr_t`) of a session.
#define EK_SESSION_WORDS 32

// Words (of `uintptr_t`) of a monitor.
#define EK_MONITOR_WORDS 16

// Words of state beside those of groups and pending labels, see EK_MONITOR_STATE_WORDS.
#define EK_MONITOR_COMMON_WORDS 63

// Words of state per group, see EK_MONITOR_STATE_WORDS.
#define EK_MONITOR_GROUP_WORDS 47

// What became of a call.
enum ek_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Done.
  EK_STATUS_OK = 0,
  // A pointer is NULL.
  EK_STATUS_NULL_POINTER = 1,
  // A pointer is not a multiple of what its type demands; model bytes and arenas must start at a multiple of 4.
  EK_STATUS_ALIGNMENT = 2,
  // A length is larger than any object.
  EK_STATUS_LENGTH = 3,
  // An object was not made by its function (ek_model_verify, ek_session_init, ek_monitor_init).
  EK_STATUS_NOT_INITIALISED = 4,
  // The bytes are fewer or more than the file says: it was cut, or something was appended.
  EK_STATUS_FILE_LENGTH = 5,
  // The bytes are not a .keel file.
  EK_STATUS_FILE_MAGIC = 6,
  // A version of the format that this library does not read.
  EK_STATUS_FILE_VERSION = 7,
  // Weights packed for targets that this library does not know.
  EK_STATUS_FILE_PACKING = 8,
  // A checksum is wrong: the file is damaged.
  EK_STATUS_FILE_DAMAGED = 9,
  // The signature is missing or wrong.
  EK_STATUS_FILE_SIGNATURE = 10,
  // A record of the file is not sound.
  EK_STATUS_FILE_INVALID = 11,
  // One run of the model would take more work than any file may ask for.
  EK_STATUS_FILE_WORK = 12,
  // Weights packed for a target that this library's kernels do not run.
  EK_STATUS_KERNEL_PACKING = 13,
  // The arena is smaller than the model demands.
  EK_STATUS_ARENA_TOO_SMALL = 14,
  // The number of values is not that of the model's input.
  EK_STATUS_INPUT_LENGTH = 15,
  // The model has no monitor.
  EK_STATUS_NO_MONITOR = 16,
  // The monitor has no group of this number.
  EK_STATUS_NO_SUCH_GROUP = 17,
  // The state is not of EK_MONITOR_STATE_WORDS words, or is of another model or number of slots.
  EK_STATUS_MONITOR_STATE = 18,
  // An error that this list does not name yet.
  EK_STATUS_OTHER = 19,
  // The label came too late or twice, or its ticket was never given.
  EK_STATUS_TICKET = 20,
  // A source of labels that is no ek_source.
  EK_STATUS_NO_SUCH_SOURCE = 21,
  // The model does not compute what it computed when it was certified.
  EK_STATUS_SELF_TEST = 22,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ek_status ek_status;
#else
typedef int32_t ek_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What the certificate in the file says.
enum ek_verdict
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // No verdict was made.
  EK_VERDICT_NONE = 0,
  // The contract holds at its confidence.
  EK_VERDICT_PASS = 1,
  // The contract is broken at its confidence.
  EK_VERDICT_FAIL = 2,
  // The data could not tell.
  EK_VERDICT_UNDECIDED = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ek_verdict ek_verdict;
#else
typedef int32_t ek_verdict;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What an alarm is about.
enum ek_alarm_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // None.
  EK_ALARM_KIND_NONE = 0,
  // The group's accuracy is below its floor.
  EK_ALARM_KIND_FLOOR = 1,
  // The group is behind all others by more than the tolerance.
  EK_ALARM_KIND_GAP = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ek_alarm_kind ek_alarm_kind;
#else
typedef int32_t ek_alarm_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where a label came from; each is counted.
enum ek_source
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // A reference: another sensor, a laboratory, an expert, a sample that was chosen to be labelled.
  EK_SOURCE_REFERENCE = 0,
  // The user, asked whether the answer was right or not.
  EK_SOURCE_USER = 1,
  // What followed, e.g. a door that was opened by key after all.
  EK_SOURCE_OUTCOME = 2,
  // Somebody complained. Complaints come of wrong answers only, so they are counted and no test sees them.
  EK_SOURCE_COMPLAINT = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ek_source ek_source;
#else
typedef int32_t ek_source;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A verified model: views into its bytes. Provide the room; ek_model_verify fills it. It may be copied.
typedef struct ek_model {
  size_t words[EK_MODEL_WORDS];
} ek_model;

// An int8 tensor, laid out height × width × channels: `real = scale * (q - zero)`.
typedef struct ek_tensor_info {
  // Height; 1 for sequences and vectors.
  size_t height;
  // Width.
  size_t width;
  // Channels.
  size_t channels;
  // Scale.
  float scale;
  // Zero point, -128..=127.
  int32_t zero;
} ek_tensor_info;

// What is in a model.
typedef struct ek_model_info_t {
  // Bytes of the file.
  size_t file_len;
  // Bytes of arena that a session needs.
  size_t arena_len;
  // The checksum of the file, which names its version in logs.
  uint32_t crc;
  // Number of operators.
  size_t operators;
  // The input.
  struct ek_tensor_info input;
  // The output; a classifier has one value per class.
  struct ek_tensor_info output;
  // Groups that the monitor watches; 0 for a model without a monitor.
  size_t groups;
  // The certificate's verdict.
  ek_verdict verdict;
  // Whether the file was written in spite of its verdict.
  bool unproven;
  // Rows that the verdict was made on.
  uint32_t verdict_rows;
} ek_model_info_t;

// A model and its arena. Provide the room; ek_session_init fills it.
typedef struct ek_session {
  size_t words[EK_SESSION_WORDS];
} ek_session;

// A monitor. Provide the room; ek_monitor_init fills it.
typedef struct ek_monitor {
  size_t words[EK_MONITOR_WORDS];
} ek_monitor;

// The alarms that an event raised: bit masks of groups.
typedef struct ek_raised {
  // Groups below their floor.
  uint64_t floor;
  // Groups that are behind the others.
  uint64_t gap;
} ek_raised;

// An alarm that nobody has acknowledged yet, as it was when it first rang.
typedef struct ek_alarm {
  // What it is about.
  ek_alarm_kind kind;
  // Index of the group.
  size_t group;
  // How often it has rung.
  uint32_t times;
  // Labelled events of all groups at the first time.
  uint32_t events;
  // Labelled events of this group at the first time.
  uint32_t n;
  // Of these, predicted right.
  uint32_t correct;
} ek_alarm;

// What the monitor knows of a group.
typedef struct ek_group_counts {
  // Labelled events.
  uint32_t n;
  // Events that were predicted right.
  uint32_t correct;
  // Predictions, labelled or not.
  uint32_t predictions;
  // Predictions whose label never came, or too late.
  uint32_t expired;
} ek_group_counts;

// All of them, in the order of their numbers.
#define ek_status_ALL { ek_status_Ok, ek_status_NullPointer, ek_status_Alignment, ek_status_Length, ek_status_NotInitialised, ek_status_FileLength, ek_status_FileMagic, ek_status_FileVersion, ek_status_FilePacking, ek_status_FileDamaged, ek_status_FileSignature, ek_status_FileInvalid, ek_status_FileWork, ek_status_KernelPacking, ek_status_ArenaTooSmall, ek_status_InputLength, ek_status_NoMonitor, ek_status_NoSuchGroup, ek_status_MonitorState, ek_status_Other, ek_status_Ticket, ek_status_NoSuchSource, ek_status_SelfTest, }

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Verifies the bytes of a .keel file, once: afterwards running the model cannot fail.
//
// The bytes start at a multiple of 4, are not copied, and stay where they are, unchanged, while the model is used.
//
// # Safety
// `bytes` points to `len` bytes and `model` to an `ek_model`, or they are NULL.
ek_status ek_model_verify(const uint8_t *bytes,
                          size_t len,
                          struct ek_model *model);

// Bytes of arena that a session needs; 0 when there is no verified model.
//
// # Safety
// `model` is NULL, or an `ek_model` that is zeroed or that ek_model_verify was given.
size_t ek_arena_len(const struct ek_model *model);

// What is in a model.
//
// # Safety
// As ek_arena_len; `info` points to an `ek_model_info_t` or is NULL.
ek_status ek_model_info(const struct ek_model *model, struct ek_model_info_t *info);

// The name of a group that the monitor watches, for example `gender=female`, as UTF-8 that ends in a NUL byte.
//
// A name longer than the buffer is cut. Gives the length of the whole name without the NUL; 0 for no such group.
//
// # Safety
// As ek_arena_len; `buf` points to `len` bytes or is NULL.
size_t ek_group_name(const struct ek_model *model,
                     size_t group,
                     char *buf,
                     size_t len);

// Prepares a session. The session keeps views of the model's bytes and of the arena: both stay where they are while
// the session is used. The `ek_model` itself is needed no more.
//
// The arena has at least ek_arena_len(model) bytes and starts at a multiple of 4.
//
// # Safety
// `session` points to an `ek_session` or is NULL; `model` is as in ek_arena_len; `arena` points to `len` bytes that
// nothing else uses, or is NULL.
ek_status ek_session_init(struct ek_session *session,
                          const struct ek_model *model,
                          uint8_t *arena,
                          size_t len);

// The int8 input, height × width × channels, to be filled before every run (a run may overwrite it). `len`, unless it
// is NULL, becomes its length. NULL when there is no session.
//
// # Safety
// `session` is NULL, or an `ek_session` that is zeroed or that ek_session_init was given; `len` points to a `size_t`
// or is NULL.
int8_t *ek_session_input(struct ek_session *session,
                         size_t *len);

// Normalises and quantises raw values into the input: `len` values in the order channels × height × width, which must
// be all of the model's input. The model brings the normalisation.
//
// # Safety
// As ek_session_input; the model's bytes and the arena are still there; `values` points to `len` floats or is NULL.
ek_status ek_quantise_input(struct ek_session *session,
                            const float *values,
                            size_t len);

// Runs the model on what the input holds.
//
// # Safety
// As ek_session_input; the model's bytes and the arena are still there.
ek_status ek_session_run(struct ek_session *session);

// The int8 output, height × width × channels, as the last run left it. `len`, unless it is NULL, becomes its length.
// NULL when there is no session.
//
// # Safety
// As ek_session_input.
const int8_t *ek_session_output(const struct ek_session *session,
                                size_t *len);

// The index of the largest output of the last run; the first one wins a tie.
//
// # Safety
// As ek_session_run; `class_index` points to a `size_t` or is NULL.
ek_status ek_session_classify(const struct ek_session *session, size_t *class_index);

// Runs the self-test of the model's file, which says whether the device computes what was certified; input and output
// are overwritten. A file without one passes. Best called once after ek_session_init.
//
// # Safety
// As ek_session_run.
ek_status ek_session_self_test(struct ek_session *session);

// Prepares a monitor: a zeroed state at first, later the one that an earlier monitor of the same model left. The state
// has EK_MONITOR_STATE_WORDS(groups, slots) words, with the groups of ek_model_info, and stays where it is while the
// monitor is used. Up to `slots` predictions, at most 65535, wait for their labels at a time.
//
// # Safety
// `monitor` points to an `ek_monitor` or is NULL; `model` is as in ek_arena_len; `state` points to `count` words or is
// NULL.
ek_status ek_monitor_init(struct ek_monitor *monitor,
                          const struct ek_model *model,
                          uint32_t *state,
                          size_t count,
                          size_t slots);

// To be called once after ek_monitor_init when the state was read back after a restart, with the number of the snapshot
// that it was saved as (0 without snapshots): labels that were pending can no longer be joined, and count as expired.
//
// # Safety
// `monitor` is NULL, or an `ek_monitor` that is zeroed or that ek_monitor_init was given; the model's bytes and the
// state are still there.
ek_status ek_monitor_restarted(struct ek_monitor *monitor,
                               uint32_t snapshot);

// Takes one event whose label is known at once: the model was right, or not, for somebody of this group (or
// EK_UNKNOWN_GROUP). `source` is an ek_source; `raised`, unless it is NULL, becomes the alarms that this raised.
//
// # Safety
// As ek_monitor_restarted; `raised` points to an `ek_raised` or is NULL.
ek_status ek_monitor_count(struct ek_monitor *monitor,
                           size_t group,
                           bool correct,
                           int32_t source,
                           struct ek_raised *raised);

// Takes what the last run of a session answered for somebody of this group (or EK_UNKNOWN_GROUP), one call per event and
// not per frame of it. `ticket` becomes what ek_monitor_label takes.
//
// # Safety
// As ek_monitor_restarted; `session` is as in ek_session_run; `ticket` points to a `uint32_t` or is NULL.
ek_status ek_monitor_predict(struct ek_monitor *monitor,
                             size_t group,
                             const struct ek_session *session,
                             uint32_t *ticket);

// Joins the label of an earlier prediction: the class that would have been right. `source` is an ek_source; `raised`,
// unless it is NULL, becomes the alarms that this raised.
//
// # Safety
// As ek_monitor_count.
ek_status ek_monitor_label(struct ek_monitor *monitor,
                           uint32_t ticket,
                           uint16_t truth,
                           int32_t source,
                           struct ek_raised *raised);

// The unacknowledged alarm `index`, counted from 0; its kind is EK_ALARM_KIND_NONE when there are no more.
//
// # Safety
// As ek_monitor_restarted; `alarm` points to an `ek_alarm` or is NULL.
ek_status ek_monitor_alarm(const struct ek_monitor *monitor, size_t index, struct ek_alarm *alarm);

// Forgets the alarms that rang before snapshot number `snapshot` was saved, after somebody has seen them. A device that
// saves no snapshots forgets all of them with 1.
//
// # Safety
// As ek_monitor_restarted.
ek_status ek_monitor_acknowledge(struct ek_monitor *monitor,
                                 uint32_t snapshot);

// What the monitor knows of a group, or of EK_UNKNOWN_GROUP.
//
// # Safety
// As ek_monitor_restarted; `counts` points to an `ek_group_counts` or is NULL.
ek_status ek_monitor_group(const struct ek_monitor *monitor, size_t group, struct ek_group_counts *counts);

// The library's version.
const char *ek_version(void);

// What a status means, as text that ends in a NUL byte and is cut where the buffer ends.
//
// Gives the length of the whole text without the NUL.
//
// # Safety
// `buf` points to `len` bytes or is NULL.
size_t ek_error_text(int32_t code, char *buf, size_t len);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EVENKEEL_H */
