package main

import (
	"math"
	"testing"
	"time"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"
)

func check(t *testing.T, metric plugin.Metric, expected string) {
	t.Helper()
	metric.Timestamp = time.Unix(12, 345_000_000)
	found, err := lines([]plugin.Metric{metric}, time.Millisecond)
	if err != nil || string(found) != expected {
		t.Errorf("expected %q, found %q %v", expected, found, err)
	}
}

func TestDynamicElementsAndTheNodeBecomeTags(t *testing.T) {
	namespace := plugin.NewNamespace("intel", "cpu").AddDynamicElement("cpu_id", "").AddStaticElement("user")
	namespace[2].Value = "cpu0"
	tags := map[string]string{"plugin_running_on": "i1", "empty": ""}
	check(t, plugin.Metric{Namespace: namespace, Data: 1.5, Unit: "s", Tags: tags},
		"intel/cpu/user,cpu_id=cpu0,source=i1,unit=s value=1.5 12345\n")
	tags["source"] = "other"
	check(t, plugin.Metric{Namespace: namespace, Data: 1.5, Tags: tags},
		"intel/cpu/user,cpu_id=cpu0,plugin_running_on=i1,source=other value=1.5 12345\n")
}

func TestValuesKeepTheirType(t *testing.T) {
	for _, one := range []struct {
		data     any
		expected string
	}{
		{int64(-3), "-3i"}, {uint32(4), "4i"}, {uint64(math.MaxUint64), "9223372036854775807i"},
		{true, "true"}, {float32(0.1), "0.1"}, {`say "a\b"`, `"say \"a\\b\""`},
	} {
		check(t, plugin.Metric{Namespace: plugin.NewNamespace("a"), Data: one.data}, "a value="+one.expected+" 12345\n")
	}
	for _, none := range []any{nil, math.NaN(), math.Inf(1)} {
		check(t, plugin.Metric{Namespace: plugin.NewNamespace("a"), Data: none}, "")
	}
}

func TestWhatHasAMeaningInTheProtocolIsEscaped(t *testing.T) {
	tags := map[string]string{"k=1": "a,b c\nd\\", "mac": "\xff\x01"}
	check(t, plugin.Metric{Namespace: plugin.NewNamespace("a b,c"), Data: int64(1), Tags: tags},
		"a\\ b\\,c,k\\=1=a\\,b\\ c\\ d,mac=\uFFFD\x01 value=1i 12345\n")
}
