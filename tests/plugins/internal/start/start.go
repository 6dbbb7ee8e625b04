// Package start is what the plugins have in common.
package start

import (
	"fmt"
	"os"
	"strconv"
)

// Version reads the version that the linker has written into a plugin, so that a test can have
// a plugin in several versions. Without a version that is a number there is no plugin.
func Version(text string) int {
	version, err := strconv.Atoi(text)
	if err != nil || version < 1 {
		fmt.Fprintf(os.Stderr, "version `%s` is no number from 1\n", text)
		os.Exit(2)
	}
	return version
}
