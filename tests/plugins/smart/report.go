package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Shorter than snapd waits for a collector, so that the reason is told.
const timeout = 8 * time.Second

// What `smartctl --json --scan` prints, as far as we read it.
type scan struct {
	Devices []struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"devices"`
}

// What `smartctl --json --all DEVICE` prints, as far as we read it. What is null was not told.
type report struct {
	Status struct {
		Passed *bool `json:"passed"`
	} `json:"smart_status"`
	Temperature struct {
		Current *int64 `json:"current"`
	} `json:"temperature"`
	PowerOn struct {
		Hours *int64 `json:"hours"`
	} `json:"power_on_time"`
	PowerCycles *int64 `json:"power_cycle_count"`
	ATA         struct {
		Table []struct {
			Name string `json:"name"`
			Raw  struct {
				Value int64 `json:"value"`
			} `json:"raw"`
		} `json:"table"`
	} `json:"ata_smart_attributes"`
	NVMe map[string]json.RawMessage `json:"nvme_smart_health_information_log"`
}

// An attribute is a metric, and where it is in a report.
type attribute struct {
	name, unit string
	of         func(report) *int64
}

var attributes = []attribute{
	{"passed", "", func(r report) *int64 { return number(r.Status.Passed) }},
	{"temperature", "C", func(r report) *int64 { return r.Temperature.Current }},
	{"power_on_hours", "h", func(r report) *int64 { return r.PowerOn.Hours }},
	{"power_cycle_count", "count", func(r report) *int64 { return r.PowerCycles }},
	ata("raw_read_error_rate"),
	ata("reallocated_sector_ct"),
	ata("seek_error_rate"),
	ata("spin_retry_count"),
	ata("reallocated_event_count"),
	ata("current_pending_sector"),
	ata("offline_uncorrectable"),
	ata("udma_crc_error_count"),
	nvme("critical_warning"),
	nvme("available_spare"),
	nvme("percentage_used"),
	nvme("data_units_read"),
	nvme("data_units_written"),
	nvme("unsafe_shutdowns"),
	nvme("media_errors"),
	nvme("num_err_log_entries"),
}

func attributeOf(name string) (attribute, error) {
	for _, attribute := range attributes {
		if attribute.name == name {
			return attribute, nil
		}
	}
	return attribute{}, fmt.Errorf("no attribute `%s`", name)
}

// The raw value of a row, whose name smartctl writes as Reallocated_Sector_Ct.
func ata(name string) attribute {
	return attribute{name, "", func(r report) *int64 {
		for _, row := range r.ATA.Table {
			if strings.EqualFold(row.Name, name) {
				return &row.Raw.Value
			}
		}
		return nil
	}}
}

func nvme(name string) attribute {
	return attribute{name, "", func(r report) *int64 {
		var value *int64
		// What is no whole number was not told.
		_ = json.Unmarshal(r.NVMe[name], &value)
		return value
	}}
}

func number(passed *bool) *int64 {
	if passed == nil {
		return nil
	}
	var value int64
	if *passed {
		value = 1
	}
	return &value
}

// ask runs smartctl. Its exit status has a bit for each thing that is wrong with the disk, so what
// it printed counts.
func ask(answer any, smartctl string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	command := exec.CommandContext(ctx, smartctl, args...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, failed := command.Output()
	wrong := json.Unmarshal(stdout, answer)
	if wrong == nil {
		return nil
	}
	if failed != nil {
		wrong = failed
	}
	said := strings.TrimSpace(stderr.String())
	return fmt.Errorf("%s %s: %w %s", smartctl, strings.Join(args, " "), wrong, said)
}
