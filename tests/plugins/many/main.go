// Command many is a snap collector of 50 metrics that 200 tasks may share. Each task may give it a
// `seed`, which comes back in the values: nobody is served what was collected for someone else.
package main

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"

	"tribe.test/plugins/internal/start"
)

const (
	metricCount = 50
	concurrency = 200
)

var (
	version = "1"
	root    = []string{"intel", "many"}
)

type collector struct {
	// How often it was asked.
	collections atomic.Int64
}

func (*collector) GetConfigPolicy() (plugin.ConfigPolicy, error) {
	policy := plugin.NewConfigPolicy()
	err := policy.AddNewIntRule(root, "seed", false, plugin.SetDefaultInt(0))
	return *policy, err
}

func (*collector) GetMetricTypes(plugin.Config) ([]plugin.Metric, error) {
	types := make([]plugin.Metric, 0, metricCount)
	for number := range metricCount {
		namespace := plugin.NewNamespace(root...).AddStaticElement(fmt.Sprintf("value%02d", number))
		types = append(types, plugin.Metric{Namespace: namespace, Unit: "count"})
	}
	return types, nil
}

func (c *collector) CollectMetrics(requested []plugin.Metric) ([]plugin.Metric, error) {
	collection := c.collections.Add(1)
	now := time.Now()
	collected := make([]plugin.Metric, 0, len(requested))
	for number, metric := range requested {
		seed, err := metric.Config.GetInt("seed")
		if err != nil {
			return nil, fmt.Errorf("%w: seed", err)
		}
		metric.Data = seed*metricCount + int64(number)
		metric.Tags = map[string]string{
			"seed":       strconv.FormatInt(seed, 10),
			"collection": strconv.FormatInt(collection, 10),
		}
		metric.Timestamp = now
		collected = append(collected, metric)
	}
	return collected, nil
}

func main() {
	count := plugin.ConcurrencyCount(concurrency)
	os.Exit(plugin.StartCollector(&collector{}, "many", start.Version(version), count))
}
