// Command psutil is a snap collector of what a host does: load, processors, memory, network and
// file systems, under the names that snap's collector psutil has. Linux only: it reads /proc.
package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"

	"tribe.test/plugins/internal/start"
)

// Stands for every instance in a request.
const all = "*"

var (
	version = "1"
	root    = []string{"intel", "psutil"}
)

// A group of metrics that are read together: /intel/psutil/NAME/INSTANCE/FIELD, or without the
// instance where there is but one.
type group struct {
	name string
	// What an instance is called, if there are several.
	element, about string
	// The instance that is the sum of all, which has metrics of its own.
	total  string
	fields []string
	unit   string
	read   func(config plugin.Config) (instances, error)
}

// Values by instance and field. Without several instances, the name of the one is empty.
type instances map[string]map[string]any

var groups = []group{
	{name: "load", fields: loadFields, unit: "Load/1M", read: readLoad},
	{
		name: "cpu", element: "cpu_id", about: "processor", total: "cpu-total",
		fields: cpuFields, unit: "s", read: readCPU,
	},
	{name: "vm", fields: vmFields, unit: "B", read: readMemory},
	{
		name: "net", element: "interface_name", about: "network interface", total: "all",
		fields: netFields, unit: "", read: readNet,
	},
	{
		name: "disk", element: "mount_point", about: "where a file system is mounted",
		fields: diskFields, unit: "B", read: readDisk,
	},
}

type collector struct{}

func (collector) GetConfigPolicy() (plugin.ConfigPolicy, error) {
	policy := plugin.NewConfigPolicy()
	err := policy.AddNewStringRule(append(root, "disk"), "mount_points", false)
	return *policy, err
}

func (collector) GetMetricTypes(plugin.Config) ([]plugin.Metric, error) {
	var types []plugin.Metric
	for _, group := range groups {
		for _, field := range group.fields {
			add := func(namespace plugin.Namespace) {
				namespace = namespace.AddStaticElement(field)
				unit := group.unit
				if strings.HasSuffix(field, "percent") {
					unit = "%"
				}
				types = append(types, plugin.Metric{Namespace: namespace, Unit: unit})
			}
			base := func() plugin.Namespace {
				return plugin.NewNamespace(root...).AddStaticElement(group.name)
			}
			if group.element == "" {
				add(base())
				continue
			}
			add(base().AddDynamicElement(group.element, group.about))
			if group.total != "" {
				add(base().AddStaticElement(group.total))
			}
		}
	}
	return types, nil
}

func (collector) CollectMetrics(requested []plugin.Metric) ([]plugin.Metric, error) {
	// What one collection tells was read at one time.
	read := map[string]instances{}
	now := time.Now()
	var collected []plugin.Metric
	for _, metric := range requested {
		group, err := groupOf(metric.Namespace)
		if err != nil {
			return nil, err
		}
		values, known := read[group.name]
		if !known {
			if values, err = group.read(metric.Config); err != nil {
				return nil, fmt.Errorf("%s: %w", group.name, err)
			}
			read[group.name] = values
		}
		metric.Timestamp = now
		found, err := group.find(metric, values)
		if err != nil {
			return nil, err
		}
		collected = append(collected, found...)
	}
	return collected, nil
}

func groupOf(namespace plugin.Namespace) (group, error) {
	name := namespace.Element(len(root)).Value
	for _, group := range groups {
		if group.name == name && len(namespace) == group.length() {
			return group, nil
		}
	}
	return group{}, fmt.Errorf("no metric %s", namespace)
}

func (g group) length() int {
	if g.element == "" {
		return len(root) + 2
	}
	return len(root) + 3
}

// find answers one request. An instance that is gone has no metric, which is no error: processors
// and interfaces come and go.
func (g group) find(metric plugin.Metric, values instances) ([]plugin.Metric, error) {
	field := metric.Namespace.Element(g.length() - 1).Value
	var names []string
	at := len(root) + 1
	switch instance := metric.Namespace.Element(at).Value; {
	case g.element == "":
		names = []string{""}
	case instance == all:
		names = g.names(values)
	default:
		names = []string{instance}
	}
	var found []plugin.Metric
	for _, name := range names {
		fields, known := values[name]
		if !known {
			continue
		}
		data, known := fields[field]
		if !known {
			return nil, fmt.Errorf("no metric %s", metric.Namespace)
		}
		one := metric
		one.Data = data
		one.Namespace = plugin.CopyNamespace(metric.Namespace)
		if g.element != "" {
			one.Namespace[at].Value = name
		}
		found = append(found, one)
	}
	return found, nil
}

// names are those of the instances in order, without the one that is their sum.
func (g group) names(values instances) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		if name != g.total {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}

func main() {
	os.Exit(plugin.StartCollector(collector{}, "psutil", start.Version(version)))
}
