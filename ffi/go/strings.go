package tribe

// #include <stdlib.h>
// #include <string.h>
// #include <tribe.h>
import "C"

import (
	"encoding/json"
	"fmt"
	"unsafe"
)

// texts holds what a call gives to the library, for as long as the call lasts. It may be a key, so it is
// wiped.
type texts []C.tribe_str

// str is a text for the library.
func (t *texts) str(s string) C.tribe_str {
	copied := C.tribe_str{ptr: C.CString(s), len: C.size_t(len(s))}
	*t = append(*t, copied)
	return copied
}

func (t *texts) free() {
	for _, copied := range *t {
		place := unsafe.Pointer(copied.ptr)
		C.memset(place, 0, copied.len)
		C.free(place)
	}
}

// text is a text of the library.
func text(s C.tribe_str) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(s.ptr)), int(s.len)))
}

// names takes a list of the library, and frees it.
func names(list *C.tribe_names) []string {
	defer C.tribe_names_free(list)
	all := make([]string, int(C.tribe_names_count(list)))
	for at := range all {
		all[at] = text(C.tribe_names_at(list, C.size_t(at)))
	}
	return all
}

// ask has the library tell something as a JSON document, and reads that.
func ask[T any](n *Node, op string, do func(*C.tribe_node, **C.tribe_text, **C.tribe_error) C.tribe_status) (T, error) {
	var told, none T
	var list *C.tribe_text
	err := n.call(op, func(node *C.tribe_node, e **C.tribe_error) C.tribe_status {
		return do(node, &list, e)
	})
	if err != nil {
		return none, err
	}
	if err := json.Unmarshal(document(list), &told); err != nil {
		return none, fmt.Errorf("tribe: %s: %w", op, err)
	}
	return told, nil
}

// document takes a text of the library, and frees it.
func document(t *C.tribe_text) []byte {
	defer C.tribe_text_free(t)
	return []byte(text(C.tribe_text_str(t)))
}
