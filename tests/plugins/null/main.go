// Command null is a snap publisher that takes everything and does nothing with it.
package main

import (
	"os"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"

	"tribe.test/plugins/internal/start"
)

var version = "1"

type publisher struct{}

func (publisher) GetConfigPolicy() (plugin.ConfigPolicy, error) {
	return *plugin.NewConfigPolicy(), nil
}

func (publisher) Publish([]plugin.Metric, plugin.Config) error {
	return nil
}

func main() {
	// Any number of tasks share one process.
	concurrency := plugin.ConcurrencyCount(200)
	os.Exit(plugin.StartPublisher(publisher{}, "null", start.Version(version), concurrency))
}
