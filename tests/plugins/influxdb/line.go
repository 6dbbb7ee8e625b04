package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"
)

const (
	// The tag that says which node a metric is from, and what it is called in the database.
	runningOn, source = "plugin_running_on", "source"
	unit              = "unit"
)

var (
	measurementEscapes = strings.NewReplacer(",", `\,`, " ", `\ `, "\n", " ", "\r", " ")
	tagEscapes         = strings.NewReplacer(",", `\,`, "=", `\=`, " ", `\ `, "\n", `\ `, "\r", `\ `)
	textEscapes        = strings.NewReplacer(`\`, `\\`, `"`, `\"`)
)

// unitOf is the length of time that a number of this precision counts.
func unitOf(precision string) (time.Duration, error) {
	switch precision {
	case "n", "ns":
		return time.Nanosecond, nil
	case "u":
		return time.Microsecond, nil
	case "ms":
		return time.Millisecond, nil
	case "s":
		return time.Second, nil
	case "m":
		return time.Minute, nil
	case "h":
		return time.Hour, nil
	default:
		return 0, fmt.Errorf("precision `%s` is none of ns, u, ms, s, m, h", precision)
	}
}

// lines writes metrics in InfluxDB's line protocol. What has no value there is left out.
func lines(metrics []plugin.Metric, unit time.Duration) ([]byte, error) {
	var batch bytes.Buffer
	for _, metric := range metrics {
		value, err := valueOf(metric.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", metric.Namespace, err)
		}
		if value == "" {
			fmt.Fprintf(os.Stderr, "%s has no value that InfluxDB can hold: %v\n", metric.Namespace, metric.Data)
			continue
		}
		writeSeries(&batch, metric)
		fmt.Fprintf(&batch, " value=%s %d\n", value, metric.Timestamp.UnixNano()/int64(unit))
	}
	return batch.Bytes(), nil
}

// writeSeries writes the static part of the namespace, and all that tells apart metrics that have
// this in common: the dynamic elements become tags.
func writeSeries(batch *bytes.Buffer, metric plugin.Metric) {
	tags := map[string]string{unit: metric.Unit}
	var static []string
	for _, element := range metric.Namespace {
		if element.IsDynamic() {
			tags[element.Name] = element.Value
		} else {
			static = append(static, element.Value)
		}
	}
	for key, value := range metric.Tags {
		if _, taken := metric.Tags[source]; key == runningOn && !taken {
			key = source
		}
		tags[key] = value
	}
	batch.WriteString(escaped(measurementEscapes, strings.Join(static, "/")))
	for _, key := range sorted(tags) {
		// A tag without a value is none.
		if tags[key] != "" {
			fmt.Fprintf(batch, ",%s=%s", escaped(tagEscapes, key), escaped(tagEscapes, tags[key]))
		}
	}
}

// valueOf is empty if InfluxDB cannot hold the value.
func valueOf(data any) (string, error) {
	switch data := data.(type) {
	case nil:
		return "", nil
	case bool:
		return strconv.FormatBool(data), nil
	case int32:
		return strconv.FormatInt(int64(data), 10) + "i", nil
	case int64:
		return strconv.FormatInt(data, 10) + "i", nil
	case uint32:
		return strconv.FormatUint(uint64(data), 10) + "i", nil
	case uint64:
		// InfluxDB has 63 bits: the largest number stands for those beyond.
		return strconv.FormatUint(min(data, math.MaxInt64), 10) + "i", nil
	case float32:
		return floatValue(float64(data), 32), nil
	case float64:
		return floatValue(data, 64), nil
	case string:
		return `"` + escaped(textEscapes, data) + `"`, nil
	case []byte:
		return `"` + escaped(textEscapes, string(data)) + `"`, nil
	default:
		return "", fmt.Errorf("data of type %T", data)
	}
}

func floatValue(value float64, bits int) string {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return ""
	}
	return strconv.FormatFloat(value, 'g', -1, bits)
}

// A backslash at the end would escape what follows.
func escaped(escapes *strings.Replacer, text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if escapes != textEscapes {
		text = strings.TrimRight(text, `\`)
	}
	return escapes.Replace(text)
}

func sorted(tags map[string]string) []string {
	keys := make([]string, 0, len(tags))
	for key := range tags {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
