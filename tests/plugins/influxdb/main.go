// Command influxdb is a snap publisher to InfluxDB 1.x: line protocol over HTTP, with the
// configuration of the publisher that snap had.
package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/intelsdi-x/snap-plugin-lib-go/v1/plugin"

	"tribe.test/plugins/internal/start"
)

const (
	// Shorter than snapd waits for a publisher, so that the reason is told.
	timeout = 8 * time.Second
	// Of what InfluxDB says to a refused request.
	shownBytes = 500
)

var version = "1"

type publisher struct {
	// Connections are kept between batches.
	checking, trusting *http.Client
}

func newPublisher() publisher {
	trusting := http.DefaultTransport.(*http.Transport).Clone()
	trusting.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	return publisher{
		checking: &http.Client{Timeout: timeout},
		trusting: &http.Client{Timeout: timeout, Transport: trusting},
	}
}

func (publisher) GetConfigPolicy() (plugin.ConfigPolicy, error) {
	policy, root := plugin.NewConfigPolicy(), []string{""}
	return *policy, errors.Join(
		policy.AddNewStringRule(root, "host", true),
		policy.AddNewIntRule(root, "port", false, plugin.SetDefaultInt(8086), plugin.SetMinInt(1), plugin.SetMaxInt(65535)),
		policy.AddNewStringRule(root, "database", true),
		policy.AddNewStringRule(root, "user", true),
		policy.AddNewStringRule(root, "password", true),
		policy.AddNewStringRule(root, "retention", false, plugin.SetDefaultString("autogen")),
		policy.AddNewStringRule(root, "precision", false, plugin.SetDefaultString("ns")),
		policy.AddNewStringRule(root, "scheme", false, plugin.SetDefaultString("http")),
		policy.AddNewBoolRule(root, "skip-verify", false, plugin.SetDefaultBool(false)),
	)
}

func (p publisher) Publish(metrics []plugin.Metric, config plugin.Config) error {
	sink, err := p.sink(config)
	if err != nil {
		return err
	}
	batch, err := lines(metrics, sink.unit)
	if err != nil || len(batch) == 0 {
		return err
	}
	status, said, err := sink.write(batch)
	if err == nil && status == http.StatusNotFound && strings.Contains(said, "database not found") {
		if err := sink.createDatabase(); err != nil {
			return err
		}
		status, said, err = sink.write(batch)
	}
	if err != nil {
		return err
	}
	if status != http.StatusNoContent {
		return fmt.Errorf("%s refused the metrics with status %d: %s", sink.address, status, said)
	}
	return nil
}

// A sink is one database as the configuration of a task names it.
type sink struct {
	client                                      *http.Client
	address, database, retention, precision, by string
	password                                    string
	unit                                        time.Duration
}

func (p publisher) sink(config plugin.Config) (sink, error) {
	var failed error
	text := func(key string) string {
		value, err := config.GetString(key)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%w: %s", err, key))
		}
		return value
	}
	s := sink{
		database: text("database"), retention: text("retention"), precision: text("precision"),
		by: text("user"), password: text("password"), client: p.checking,
	}
	host, scheme := text("host"), text("scheme")
	port, err := config.GetInt("port")
	if err != nil {
		failed = errors.Join(failed, fmt.Errorf("%w: port", err))
	}
	if skip, err := config.GetBool("skip-verify"); err == nil && skip {
		s.client = p.trusting
	}
	if failed != nil {
		return s, failed
	}
	if scheme != "http" && scheme != "https" {
		return s, fmt.Errorf("scheme `%s` is neither http nor https", scheme)
	}
	if s.unit, err = unitOf(s.precision); err != nil {
		return s, err
	}
	s.address = scheme + "://" + net.JoinHostPort(host, strconv.FormatInt(port, 10))
	return s, nil
}

func (s sink) write(batch []byte) (int, string, error) {
	query := url.Values{"db": {s.database}, "rp": {s.retention}, "precision": {s.precision}}
	return s.post("/write", query, "text/plain; charset=utf-8", batch)
}

func (s sink) createDatabase() error {
	name := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s.database) + `"`
	body := url.Values{"q": {"CREATE DATABASE " + name}}.Encode()
	status, said, err := s.post("/query", nil, "application/x-www-form-urlencoded", []byte(body))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%s has no database `%s` and made none, status %d: %s", s.address, s.database, status, said)
	}
	return err
}

func (s sink) post(path string, query url.Values, kind string, body []byte) (int, string, error) {
	request, err := http.NewRequest(http.MethodPost, s.address+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("Content-Type", kind)
	if s.by != "" {
		request.SetBasicAuth(s.by, s.password)
	}
	reply, err := s.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer reply.Body.Close()
	said, err := io.ReadAll(io.LimitReader(reply.Body, shownBytes))
	// Read to the end, a connection can be used again.
	_, _ = io.Copy(io.Discard, reply.Body)
	return reply.StatusCode, strings.TrimSpace(string(said)), err
}

func main() {
	concurrency := plugin.ConcurrencyCount(50)
	os.Exit(plugin.StartPublisher(newPublisher(), "influxdb", start.Version(version), concurrency))
}
