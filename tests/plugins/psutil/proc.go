package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"
)

// In which /proc/stat counts, on every architecture that Go runs on.
const ticksPerSecond = 100

var (
	loadFields = []string{"load1", "load5", "load15"}
	// In the order of /proc/stat.
	cpuFields = []string{
		"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice",
	}
	vmFields = []string{
		"total", "available", "used", "used_percent", "free", "active", "inactive", "buffers", "cached",
	}
	netFields = []string{
		"bytes_recv", "packets_recv", "errin", "dropin", "bytes_sent", "packets_sent", "errout", "dropout",
	}
	// Where these are in a line of /proc/net/dev.
	netColumns = []int{0, 1, 2, 3, 8, 9, 10, 11}
	diskFields = []string{"total", "used", "free", "percent"}
)

func readLoad(plugin.Config) (instances, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return nil, err
	}
	values, err := numbers(strings.Fields(string(text)), len(loadFields))
	if err != nil {
		return nil, err
	}
	load := map[string]any{}
	for at, field := range loadFields {
		load[field] = values[at]
	}
	return instances{"": load}, nil
}

func readCPU(plugin.Config) (instances, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, err
	}
	cpus := instances{}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) == 0 || !strings.HasPrefix(words[0], "cpu") {
			continue
		}
		ticks, err := numbers(words[1:], len(cpuFields))
		if err != nil {
			return nil, err
		}
		name := words[0]
		if name == "cpu" {
			name = "cpu-total"
		}
		cpus[name] = map[string]any{}
		for at, field := range cpuFields {
			cpus[name][field] = ticks[at] / ticksPerSecond
		}
	}
	return cpus, nil
}

func readMemory(plugin.Config) (instances, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	bytes := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		words := strings.Fields(rest)
		if len(words) == 0 {
			continue
		}
		kibibytes, err := strconv.ParseUint(words[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		bytes[name] = kibibytes * 1024
	}
	total, available := bytes["MemTotal"], bytes["MemAvailable"]
	if total == 0 {
		return nil, fmt.Errorf("/proc/meminfo has no MemTotal")
	}
	used := total - min(available, total)
	return instances{"": {
		"total": total, "available": available, "used": used, "free": bytes["MemFree"],
		"used_percent": percent(used, total), "active": bytes["Active"],
		"inactive": bytes["Inactive"], "buffers": bytes["Buffers"], "cached": bytes["Cached"],
	}}, nil
}

func readNet(plugin.Config) (instances, error) {
	text, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		return nil, err
	}
	nets := instances{}
	sums := make([]uint64, len(netFields))
	for line := range strings.Lines(string(text)) {
		name, rest, found := strings.Cut(line, ":")
		if !found {
			// A heading.
			continue
		}
		words := strings.Fields(rest)
		counted := map[string]any{}
		for at, column := range netColumns {
			if column >= len(words) {
				return nil, fmt.Errorf("/proc/net/dev has a short line: %q", line)
			}
			count, err := strconv.ParseUint(words[column], 10, 64)
			if err != nil {
				return nil, err
			}
			counted[netFields[at]] = count
			sums[at] += count
		}
		nets[strings.TrimSpace(name)] = counted
	}
	total := map[string]any{}
	for at, field := range netFields {
		total[field] = sums[at]
	}
	nets["all"] = total
	return nets, nil
}

// readDisk reads file systems: those on devices, all of them for `*`, or the mount points of a list
// with `|` between them.
func readDisk(config plugin.Config) (instances, error) {
	wanted, _ := config.GetString("mount_points")
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	disks := instances{}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 || !isWanted(wanted, words[0], mountPoint(words[1])) {
			continue
		}
		point := mountPoint(words[1])
		// Whoever may not look at it, or finds it gone, has nothing to tell of it.
		if usage, ok := usageOf(point); ok {
			disks[point] = usage
		}
	}
	return disks, nil
}

func isWanted(wanted, device, point string) bool {
	switch wanted {
	case "":
		return strings.HasPrefix(device, "/dev/")
	case all:
		return true
	default:
		return slices.Contains(strings.Split(wanted, "|"), point)
	}
}

// A space and its like are octal in the list of mounts.
func mountPoint(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}

func usageOf(point string) (map[string]any, bool) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(point, &stat); err != nil || stat.Blocks == 0 {
		return nil, false
	}
	block := uint64(stat.Bsize)
	total, free := stat.Blocks*block, stat.Bavail*block
	used := (stat.Blocks - min(stat.Bfree, stat.Blocks)) * block
	return map[string]any{
		"total": total, "free": free, "used": used, "percent": percent(used, used+free),
	}, true
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole) * 100
}

// numbers are the first words, of which there must be that many.
func numbers(words []string, count int) ([]float64, error) {
	if len(words) < count {
		return nil, fmt.Errorf("%d numbers expected in %q", count, words)
	}
	values := make([]float64, 0, count)
	for _, word := range words[:count] {
		value, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}
