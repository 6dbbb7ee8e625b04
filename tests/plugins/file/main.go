// Command file is a snap publisher that appends to a file: one JSON array of metrics a line, one
// line for each batch.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"

	"tribe.test/plugins/internal/start"
)

var version = "1"

// A line of the file is an array of these.
type entry struct {
	Timestamp time.Time         `json:"timestamp"`
	Namespace string            `json:"namespace"`
	Data      any               `json:"data"`
	Unit      string            `json:"unit"`
	Tags      map[string]string `json:"tags"`
	Version   int64             `json:"version"`
}

type publisher struct {
	// A line is written whole, whoever publishes at the same time.
	lock sync.Mutex
}

func (*publisher) GetConfigPolicy() (plugin.ConfigPolicy, error) {
	policy := plugin.NewConfigPolicy()
	err := policy.AddNewStringRule([]string{""}, "file", true)
	return *policy, err
}

func (p *publisher) Publish(metrics []plugin.Metric, config plugin.Config) error {
	path, err := config.GetString("file")
	if err != nil {
		return fmt.Errorf("%w: file", err)
	}
	entries := make([]entry, 0, len(metrics))
	for _, metric := range metrics {
		entries = append(entries, entry{
			Timestamp: metric.Timestamp,
			Namespace: metric.Namespace.String(),
			Data:      metric.Data,
			Unit:      metric.Unit,
			Tags:      metric.Tags,
			Version:   metric.Version,
		})
	}
	line, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	p.lock.Lock()
	defer p.lock.Unlock()
	return appendLine(path, line)
}

func appendLine(path string, line []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(append(line, '\n'))
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

func main() {
	// Any number of tasks share one process.
	concurrency := plugin.ConcurrencyCount(200)
	os.Exit(plugin.StartPublisher(&publisher{}, "file", start.Version(version), concurrency))
}
