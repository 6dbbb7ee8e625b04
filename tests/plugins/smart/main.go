// Command smart is a snap collector of what disks say of themselves. It asks `smartctl`, whose path is
// in its configuration, for JSON.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"

	"tribe.test/plugins/internal/start"
)

const (
	// Stands for every device in a request.
	all     = "*"
	pathKey = "smartctl_path"
)

var (
	version = "1"
	root    = []string{"intel", "disk", "smart"}
)

type collector struct{}

func (collector) GetConfigPolicy() (plugin.ConfigPolicy, error) {
	policy := plugin.NewConfigPolicy()
	err := policy.AddNewStringRule(root, pathKey, false, plugin.SetDefaultString("/usr/sbin/smartctl"))
	return *policy, err
}

func (collector) GetMetricTypes(plugin.Config) ([]plugin.Metric, error) {
	types := make([]plugin.Metric, 0, len(attributes))
	for _, attribute := range attributes {
		namespace := plugin.NewNamespace(root...).
			AddDynamicElement("device", "a disk, as in /dev").
			AddStaticElement(attribute.name)
		types = append(types, plugin.Metric{Namespace: namespace, Unit: attribute.unit})
	}
	return types, nil
}

func (collector) CollectMetrics(requested []plugin.Metric) ([]plugin.Metric, error) {
	// One task has one configuration, so all metrics of a request are of one smartctl.
	asked := map[string]map[string]report{}
	now := time.Now()
	var collected []plugin.Metric
	for _, metric := range requested {
		path, err := metric.Config.GetString(pathKey)
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, pathKey)
		}
		reports, known := asked[path]
		if !known {
			if reports, err = askAll(path); err != nil {
				return nil, err
			}
			asked[path] = reports
		}
		metric.Timestamp = now
		found, err := find(metric, reports)
		if err != nil {
			return nil, err
		}
		collected = append(collected, found...)
	}
	return collected, nil
}

// find answers one request. No disk has all attributes, and disks come and go.
func find(metric plugin.Metric, reports map[string]report) ([]plugin.Metric, error) {
	if len(metric.Namespace) != len(root)+2 {
		return nil, fmt.Errorf("no metric %s", metric.Namespace)
	}
	at := len(root)
	wanted := metric.Namespace[at].Value
	attribute, err := attributeOf(metric.Namespace[at+1].Value)
	if err != nil {
		return nil, err
	}
	var found []plugin.Metric
	for _, device := range devices(reports) {
		if wanted != all && wanted != device {
			continue
		}
		if data := attribute.of(reports[device]); data != nil {
			one := metric
			one.Data = *data
			one.Namespace = plugin.CopyNamespace(metric.Namespace)
			one.Namespace[at].Value = device
			found = append(found, one)
		}
	}
	return found, nil
}

func devices(reports map[string]report) []string {
	names := make([]string, 0, len(reports))
	for name := range reports {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// askAll asks for the report of every disk there is, by the last part of its name.
func askAll(smartctl string) (map[string]report, error) {
	var scan scan
	if err := ask(&scan, smartctl, "--json", "--scan"); err != nil {
		return nil, err
	}
	reports := map[string]report{}
	for _, device := range scan.Devices {
		var one report
		if err := ask(&one, smartctl, "--json", "--all", "--device", device.Type, device.Name); err != nil {
			return nil, err
		}
		reports[filepath.Base(device.Name)] = one
	}
	return reports, nil
}

func main() {
	os.Exit(plugin.StartCollector(collector{}, "smart", start.Version(version)))
}
