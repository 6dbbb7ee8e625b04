// Real snap plugins for the whole-system tests, on snap's own library for Go.
module tribe.test/plugins

go 1.24

// Unmodified examples of that library, built as they are.
tool (
	github.com/intelsdi-x/snap-plugin-lib-go/examples/snap-plugin-collector-rand
	github.com/intelsdi-x/snap-plugin-lib-go/examples/snap-plugin-collector-rand-streaming
	github.com/intelsdi-x/snap-plugin-lib-go/examples/snap-plugin-processor-reverse
	github.com/intelsdi-x/snap-plugin-lib-go/examples/snap-plugin-publisher-file
)

// The library has no go.mod: these are versions of its dependencies that it builds and runs with.
require (
	github.com/golang/protobuf v1.5.4 // indirect
	github.com/intelsdi-x/snap-plugin-lib-go v0.0.0-20221107231111-c764e655b22e
	github.com/julienschmidt/httprouter v1.3.0 // indirect
	github.com/sirupsen/logrus v1.9.4 // indirect
	github.com/urfave/cli v1.22.17 // indirect
	golang.org/x/net v0.38.0 // indirect
	google.golang.org/grpc v1.33.3 // indirect
)

require (
	github.com/cpuguy83/go-md2man/v2 v2.0.7 // indirect
	github.com/russross/blackfriday/v2 v2.1.0 // indirect
	github.com/smartystreets/goconvey v1.8.1 // indirect
	golang.org/x/sys v0.31.0 // indirect
	golang.org/x/text v0.23.0 // indirect
	google.golang.org/genproto v0.0.0-20200526211855-cb27e3aa2013 // indirect
	google.golang.org/protobuf v1.33.0 // indirect
)
