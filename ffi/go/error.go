package tribe

// #include <tribe.h>
import "C"

import "net"

// An Error says why something was not done. Match it with errors.Is against the Err values, which stand
// for their codes.
type Error struct {
	// Op is what was to be done, as in "dial".
	Op string
	// Code is the status of the C library, as in -501.
	Code int
	// Name is the code as text, as in "unknown-tribe".
	Name string
	// Message says what is wrong, in one line.
	Message string
}

func (e *Error) Error() string {
	if e.Message == "" {
		return "tribe: " + e.Name
	}
	return "tribe: " + e.Op + ": " + e.Message
}

// Is tells whether an error has the code of another. A closed node or listener is net.ErrClosed as well.
func (e *Error) Is(target error) bool {
	if other, ok := target.(*Error); ok {
		return e.Code == other.Code
	}
	return target == net.ErrClosed && e.Code == ErrClosed.Code
}

// Timeout tells that it took longer than allowed, as net.Error wants it.
func (e *Error) Timeout() bool { return e.Code == ErrTimeout.Code }

// Temporary tells that it may be worth another try, as net.Error wants it.
func (e *Error) Temporary() bool {
	return e.Timeout() || e.Code == ErrBusy.Code || e.Code == ErrUnreachable.Code || e.Code == ErrNoOffer.Code
}

// What a program may want to tell apart.
var (
	ErrClosed        = sentinel(C.TRIBE_STATUS_CLOSED)
	ErrForked        = sentinel(C.TRIBE_STATUS_FORKED)
	ErrTimeout       = sentinel(C.TRIBE_STATUS_TIMEOUT)
	ErrUnreachable   = sentinel(C.TRIBE_STATUS_UNREACHABLE)
	ErrNotSynced     = sentinel(C.TRIBE_STATUS_NOT_SYNCED)
	ErrNoOffer       = sentinel(C.TRIBE_STATUS_NO_OFFER)
	ErrNoService     = sentinel(C.TRIBE_STATUS_NO_SERVICE)
	ErrNotAllowed    = sentinel(C.TRIBE_STATUS_NOT_ALLOWED)
	ErrBusy          = sentinel(C.TRIBE_STATUS_BUSY)
	ErrName          = sentinel(C.TRIBE_STATUS_NAME)
	ErrUnknownTribe  = sentinel(C.TRIBE_STATUS_UNKNOWN_TRIBE)
	ErrTribeExists   = sentinel(C.TRIBE_STATUS_TRIBE_EXISTS)
	ErrPolicy        = sentinel(C.TRIBE_STATUS_POLICY)
	ErrUnknownPolicy = sentinel(C.TRIBE_STATUS_UNKNOWN_POLICY)
	ErrPolicyExists  = sentinel(C.TRIBE_STATUS_POLICY_EXISTS)
	ErrUnknownNode   = sentinel(C.TRIBE_STATUS_UNKNOWN_NODE)
	ErrServiceExists = sentinel(C.TRIBE_STATUS_SERVICE_EXISTS)
	ErrPattern       = sentinel(C.TRIBE_STATUS_PATTERN)
	ErrKey           = sentinel(C.TRIBE_STATUS_KEY)
	ErrUnknownKey    = sentinel(C.TRIBE_STATUS_UNKNOWN_KEY)
	ErrKeyRemoved    = sentinel(C.TRIBE_STATUS_KEY_REMOVED)
	ErrKeySeals      = sentinel(C.TRIBE_STATUS_KEY_SEALS)
	ErrKeyLacking    = sentinel(C.TRIBE_STATUS_KEY_LACKING)
)

func sentinel(code C.int32_t) *Error {
	return &Error{Code: int(code), Name: C.GoString(C.tribe_status_name(code))}
}

// check makes an error of a status, and frees the library's.
func check(op string, status C.tribe_status, err *C.tribe_error) error {
	if status >= 0 {
		return nil
	}
	defer C.tribe_error_free(err)
	name := C.GoString(C.tribe_status_name(C.int32_t(status)))
	return &Error{Op: op, Code: int(status), Name: name, Message: text(C.tribe_error_message(err))}
}
