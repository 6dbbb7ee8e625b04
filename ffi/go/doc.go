// Package tribe makes a program in Go a member of a cluster: one that is encrypted, has no server, and is
// sorted into named, overlapping tribes by policies over facts.
//
//	node, err := tribe.Open(tribe.Config{Name: "g1", Seeds: []string{"10.0.0.1:6000"}, KeyFile: "tribe.key"})
//	...
//	defer node.Close()
//	listener, err := node.Serve("echo/1", tribe.ServeOptions{})   // a net.Listener
//	conn, err := node.Dial(ctx, tribe.InTribe("core"), "echo/1")  // a net.Conn
//
// Metrics gives what the node counts and measures, to be shown beside your own; Keys, RotateKey and the steps of it
// exchange the key of the cluster.
//
// # Building
//
// The package is a thin layer over the C library, through cgo, and finds it with pkg-config:
//
//	make -C ffi install PREFIX=/usr/local
//	go build ./...
//
// For a library that is not where pkg-config looks, set PKG_CONFIG_PATH to the folder of its tribe.pc, and
// LD_LIBRARY_PATH when the program runs. To link statically, give the flags of "pkg-config --static" in
// CGO_LDFLAGS. In this repository ffi/go/run-tests shows it with what cargo has built in target/debug.
//
// # How it behaves
//
// Methods that write return once the write is on disk here, if there is a data directory, and on its way to
// the others. On a node with seeds that has never met its cluster, what concerns all waits up to 10 s for that,
// and then fails: ErrNotSynced.
//
// All methods may be called by several goroutines at once. Close wakes those that wait. No goroutine that
// waits for events or callers holds a thread: the runtime's poller watches the library's descriptor.
//
// A stream is a connected socket. CloseWrite ends one direction, and so does Close, once all that came was
// read; closed with bytes unread it is an error to the peer. Read returns io.EOF at the end of the peer's
// direction. When the stream is lost instead, Read gives what had come, and then an error
// (syscall.ECONNRESET), never io.EOF. Who does not read makes the other side wait.
package tribe
