package tribe

// #include <tribe.h>
import "C"

import (
	"encoding/json"
	"fmt"
	"time"
)

// Config is what a node is started with. A name and one of KeyFile, Key and Plaintext must be given.
type Config struct {
	// Name is unique in the cluster.
	Name string
	// Bind is where to listen, UDP and TCP alike, as IP:PORT; port 0 takes any free one. By default
	// 0.0.0.0:6000.
	Bind string
	// Advertise is where others reach this node. By default the bound address.
	Advertise string
	// Seeds are HOST:PORT of nodes to meet the cluster through, tried for ever.
	Seeds []string
	// KeyFile has one base64 key a line, and only its owner may read it.
	KeyFile string
	// Key is the text of a key file.
	Key string
	// Plaintext is no encryption, for tests.
	Plaintext bool
	// DataDir is where id, keys, records and known members are kept. Without one the node is ephemeral.
	DataDir string
	// Cluster is its name. Nodes of different clusters never mix.
	Cluster string
	// Facts are given at start, beside those collected from the host: bool, numbers, string, or what
	// encoding/json makes a list or a map of.
	Facts map[string]any
	// NoCollect leaves the facts of this host alone.
	NoCollect bool
	// HoldDown is how long the node goes on acting for a tribe it fell out of by policy. By default 10 s;
	// negative is none.
	HoldDown time.Duration
	// Version is name and version of your software, shown to others.
	Version string
}

// make gives the library's form of it, to be freed.
func (c *Config) make() (*C.tribe_config, error) {
	var t texts
	defer t.free()
	var config *C.tribe_config
	var e *C.tribe_error
	if err := check("open", C.tribe_config_new(t.str(c.Name), &config, &e), e); err != nil {
		return nil, err
	}
	if err := c.fill(config, &t); err != nil {
		C.tribe_config_free(config)
		return nil, err
	}
	return config, nil
}

func (c *Config) fill(config *C.tribe_config, t *texts) error {
	var e *C.tribe_error
	var status C.tribe_status
	// The first that fails is told.
	set := func(wanted bool, call func() C.tribe_status) {
		if wanted && status >= 0 {
			status = call()
		}
	}
	set(c.Bind != "", func() C.tribe_status { return C.tribe_config_set_bind(config, t.str(c.Bind), &e) })
	set(c.Advertise != "", func() C.tribe_status { return C.tribe_config_set_advertise(config, t.str(c.Advertise), &e) })
	for _, seed := range c.Seeds {
		set(true, func() C.tribe_status { return C.tribe_config_add_seed(config, t.str(seed), &e) })
	}
	set(c.KeyFile != "", func() C.tribe_status { return C.tribe_config_set_key_file(config, t.str(c.KeyFile), &e) })
	set(c.Key != "", func() C.tribe_status { return C.tribe_config_set_key(config, t.str(c.Key), &e) })
	set(c.Plaintext, func() C.tribe_status { return C.tribe_config_set_plaintext(config, &e) })
	set(c.DataDir != "", func() C.tribe_status { return C.tribe_config_set_data_dir(config, t.str(c.DataDir), &e) })
	set(c.Cluster != "", func() C.tribe_status { return C.tribe_config_set_cluster(config, t.str(c.Cluster), &e) })
	set(c.NoCollect, func() C.tribe_status { return C.tribe_config_set_collect_facts(config, false, &e) })
	set(c.HoldDown != 0, func() C.tribe_status {
		hold := max(c.HoldDown, 0).Milliseconds()
		return C.tribe_config_set_hold_down_ms(config, C.uint64_t(hold), &e)
	})
	set(c.Version != "", func() C.tribe_status { return C.tribe_config_set_version(config, t.str(c.Version), &e) })
	for name, value := range c.Facts {
		document, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("tribe: open: fact `%s`: %w", name, err)
		}
		set(true, func() C.tribe_status {
			return C.tribe_config_set_fact_json(config, t.str(name), t.str(string(document)), &e)
		})
	}
	return check("open", status, e)
}
