package tribe

// #include <tribe.h>
import "C"

import (
	"os"
	"syscall"
)

// A waker lets the runtime's poller watch a descriptor of the library: who waits holds no thread.
type waker struct {
	file *os.File
	conn syscall.RawConn
}

// watch takes a copy: the library keeps its own.
func watch(fd C.int, name string) (*waker, error) {
	syscall.ForkLock.RLock()
	own, err := syscall.Dup(int(fd))
	if err == nil {
		syscall.CloseOnExec(own)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	// It does not block already: that is how the library made it.
	file := os.NewFile(uintptr(own), name)
	conn, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &waker{file, conn}, nil
}

// wait calls until the call says that it is done, each time the descriptor is readable. One goroutine at a
// time gets to it. An error means that the waker was closed.
func (w *waker) wait(call func() (done bool)) error {
	return w.conn.Read(func(uintptr) bool { return call() })
}

func (w *waker) close() error { return w.file.Close() }
