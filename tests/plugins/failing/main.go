// Command failing is a snap publisher that takes nothing, ever; or one that takes everything but
// one collection of the collector many, if it is told which by the config `collection`.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"

	"tribe.test/plugins/internal/start"
)

var version = "1"

type publisher struct{}

func (publisher) GetConfigPolicy() (plugin.ConfigPolicy, error) {
	policy := plugin.NewConfigPolicy()
	root := []string{""}
	return *policy, errors.Join(
		policy.AddNewStringRule(root, "reason", false, plugin.SetDefaultString("the disk of the sink is full")),
		policy.AddNewIntRule(root, "collection", false, plugin.SetDefaultInt(0)),
	)
}

func (publisher) Publish(metrics []plugin.Metric, config plugin.Config) error {
	reason, err := config.GetString("reason")
	if err != nil {
		return fmt.Errorf("%w: reason", err)
	}
	only, err := config.GetInt("collection")
	if err != nil {
		return fmt.Errorf("%w: collection", err)
	}
	if only != 0 && metrics[0].Tags["collection"] != strconv.FormatInt(only, 10) {
		return nil
	}
	return fmt.Errorf("%d metrics refused: %s", len(metrics), reason)
}

func main() {
	os.Exit(plugin.StartPublisher(publisher{}, "failing", start.Version(version)))
}
