// Command failing is a snap publisher that takes nothing, ever.
package main

import (
	"fmt"
	"os"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"

	"tribe.test/plugins/internal/start"
)

var version = "1"

type publisher struct{}

func (publisher) GetConfigPolicy() (plugin.ConfigPolicy, error) {
	policy := plugin.NewConfigPolicy()
	err := policy.AddNewStringRule([]string{""}, "reason", false, plugin.SetDefaultString("the disk of the sink is full"))
	return *policy, err
}

func (publisher) Publish(metrics []plugin.Metric, config plugin.Config) error {
	reason, err := config.GetString("reason")
	if err != nil {
		return fmt.Errorf("%w: reason", err)
	}
	return fmt.Errorf("%d metrics refused: %s", len(metrics), reason)
}

func main() {
	os.Exit(plugin.StartPublisher(publisher{}, "failing", start.Version(version)))
}
