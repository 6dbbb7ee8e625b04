package tribe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"
)

// key is 32 bytes nobody keeps secret.
const key = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="

// patience is more than enough for anything that is waited for here.
const patience = 60 * time.Second

func long(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, name string, seeds ...string) *Node {
	t.Helper()
	node, err := Open(Config{
		Name: name, Bind: "127.0.0.1:0", Seeds: seeds, Key: key, NoCollect: true,
		Facts: map[string]any{"tier": "gold", "rack": 7, "spare": true},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Stop() })
	return node
}

// pair is two nodes that have met; the first is in the tribe core.
func pair(t *testing.T) (*Node, *Node) {
	t.Helper()
	one := open(t, "g1")
	other := open(t, "g2", one.Address())
	for _, node := range []*Node{one, other} {
		if err := node.WaitSynced(long(t)); err != nil {
			t.Fatal(err)
		}
	}
	events, err := other.Events(long(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := one.CreateTribe("core", "the middle"); err != nil {
		t.Fatal(err)
	}
	if err := one.Join("core", ""); err != nil {
		t.Fatal(err)
	}
	until(t, events, func(event Event) bool {
		return event.Kind == "membership-changed" && event.Subject == "core" && event.Body["node"] == "g1"
	})
	return one, other
}

func until(t *testing.T, events <-chan Event, found func(Event) bool) {
	t.Helper()
	for event := range events {
		if found(event) {
			return
		}
	}
	t.Fatal("the events ended")
}

// echo answers each stream with what it is sent, once that is over.
func echo(t *testing.T, node *Node, name string) *Listener {
	t.Helper()
	listener, err := node.Serve(name, ServeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	return listener
}

func offered(t *testing.T, node *Node, query OfferQuery, count int) []Offer {
	t.Helper()
	events, err := node.Events(long(t))
	if err != nil {
		t.Fatal(err)
	}
	for {
		offers, err := node.Offers(query)
		if err != nil {
			t.Fatal(err)
		}
		if len(offers) == count {
			return offers
		}
		if _, more := <-events; !more {
			t.Fatalf("%v", offers)
		}
	}
}

func TestServicesAreFoundAndDialledByTribeAndByNode(t *testing.T) {
	one, other := pair(t)
	echo(t, one, "echo/1")
	offers := offered(t, other, OfferQuery{Tribe: "core", Service: "echo/*"}, 1)
	if offers[0].Node != "g1" || offers[0].ID != one.ID() || offers[0].Plugin != nil {
		t.Fatalf("%+v", offers)
	}
	for _, dialler := range []*Node{one, other} {
		for _, target := range []Target{InTribe("core"), OnNode("g1")} {
			conn, err := dialler.Dial(long(t), target, "echo/1")
			if err != nil {
				t.Fatal(err)
			}
			var _ net.Conn = conn
			want := Peer{"g1", one.ID(), one.Address()}
			if conn.Peer() != want || conn.RemoteAddr() != net.Addr(want) || conn.LocalAddr().String() != dialler.Name() {
				t.Fatalf("%v %v", conn.Peer(), conn.LocalAddr())
			}
			if _, err := conn.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if heard, err := io.ReadAll(conn); err != nil || string(heard) != "hello" {
				t.Fatalf("%q %v", heard, err)
			}
			conn.Close()
		}
	}
}

func TestMuchGoesBothWaysUnchanged(t *testing.T) {
	const length = 32 << 20
	one, other := pair(t)
	echo(t, one, "echo")
	conn, err := other.Dial(long(t), OnNode("g1"), "echo")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent, heard := sha256.New(), sha256.New()
	failed := make(chan error, 1)
	go func() {
		random := io.LimitReader(rand.New(rand.NewSource(1)), length)
		_, err := io.Copy(conn, io.TeeReader(random, sent))
		failed <- errors.Join(err, conn.CloseWrite())
	}()
	if count, err := io.Copy(heard, conn); err != nil || count != length {
		t.Fatal(count, err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sent.Sum(nil), heard.Sum(nil)) {
		t.Fatal("what came back is not what was sent")
	}
}

func TestAPeerThatStopsIsAnErrorAfterWhatItSent(t *testing.T) {
	one, other := pair(t)
	listener, err := one.Serve("half", ServeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	conn, err := other.Dial(long(t), OnNode("g1"), "half")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	if accepted.RemoteAddr().String() != "g2" {
		t.Fatal(accepted.RemoteAddr())
	}
	if _, err := accepted.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, 4)
	if _, err := io.ReadFull(conn, heard); err != nil {
		t.Fatal(err)
	}
	one.Stop()
	if _, err := conn.Read(heard); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}

func TestClosingWakesThoseWhoWait(t *testing.T) {
	one := open(t, "g1")
	listener, err := one.Serve("echo", ServeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := one.Serve("other", ServeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	events, err := one.Events(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var waiting sync.WaitGroup
	for _, listener := range []*Listener{listener, listener, other} {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}()
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err == nil {
		t.Fatal("closed twice")
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
	for range events {
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Dial(context.Background(), OnNode("g1"), "echo"); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := one.Close(); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}

func TestADialThatIsCancelledReturnsAtOnce(t *testing.T) {
	one := open(t, "g1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := one.Dial(ctx, OnNode("g1"), "echo"); !errors.Is(err, context.Canceled) && !errors.Is(err, ErrNoService) {
		t.Fatal(err)
	}
}

func TestFactsKeepTheirTypes(t *testing.T) {
	one := open(t, "g1")
	if err := one.SetFact("", "list", []any{1, "a"}); err != nil {
		t.Fatal(err)
	}
	facts, err := one.Facts("")
	if err != nil {
		t.Fatal(err)
	}
	list, _ := facts["list"].([]any)
	if facts["tier"] != "gold" || facts["rack"] != 7.0 || facts["spare"] != true || len(list) != 2 {
		t.Fatalf("%v", facts)
	}
	if _, err := one.Facts("g9"); !errors.Is(err, ErrUnknownNode) {
		t.Fatal(err)
	}
}

func TestAPolicyIsOffFromTheStart(t *testing.T) {
	one := open(t, "g1")
	put := func(condition string, options PolicyOptions, enabled bool, members int) {
		t.Helper()
		if _, err := one.CreatePolicy("gold", condition, "vault", options); err != nil {
			t.Fatal(err)
		}
		policies, err := one.Policies()
		if err != nil || len(policies) != 1 || policies[0].Enabled != enabled || !policies[0].Understood {
			t.Fatalf("%+v %v", policies, err)
		}
		if found, err := one.Members("vault"); err != nil || len(found) != members {
			t.Fatalf("%+v %v", found, err)
		}
	}
	on, off := true, false
	put("{{tier}} == gold", PolicyOptions{Enabled: &off}, false, 0)
	put("{{tier}} == gold", PolicyOptions{}, false, 0)
	put("{{tier}} == gold", PolicyOptions{Enabled: &on}, true, 1)
	put("{{rack}} == 7", PolicyOptions{Replace: true}, true, 1)
	put("{{rack}} == 7", PolicyOptions{Replace: true, Enabled: &off}, false, 0)
	if err := one.EnablePolicy("gold", true); err != nil {
		t.Fatal(err)
	}
	put("{{rack}} == 7", PolicyOptions{}, true, 1)
	created, err := one.CreatePolicy("odd", "{{tire}} == gold", "odd", PolicyOptions{})
	if err != nil || !created.TribeCreated || len(created.Warnings) == 0 {
		t.Fatalf("%+v %v", created, err)
	}
	if err := one.DeletePolicy("odd"); err != nil {
		t.Fatal(err)
	}
	create := func(condition string) error {
		_, err := one.CreatePolicy("gold", condition, "vault", PolicyOptions{})
		return err
	}
	for _, check := range []struct {
		err  error
		want *Error
	}{
		{create("true"), ErrPolicyExists},
		{create("{{rack}} = 7"), ErrPolicy},
		{one.DeletePolicy("odd"), ErrUnknownPolicy},
		{one.EnablePolicy("odd", true), ErrUnknownPolicy},
	} {
		if !errors.Is(check.err, check.want) {
			t.Errorf("%v, not %v", check.err, check.want)
		}
	}
}

func TestTheKeyIsExchanged(t *testing.T) {
	one, other := pair(t)
	before, err := one.Keys()
	if err != nil {
		t.Fatal(err)
	}
	old := before.Members[0].Keys[0]
	id, err := one.RotateKey(false)
	if err != nil || id == old {
		t.Fatal(id, old, err)
	}
	status, err := other.Keys()
	if err != nil || len(status.Members) != 2 {
		t.Fatalf("%+v %v", status, err)
	}
	for _, member := range status.Members {
		if len(member.Keys) != 1 || member.Keys[0] != id || !member.Alive {
			t.Fatalf("%+v", member)
		}
	}
	if err := one.InstallKey("no key"); !errors.Is(err, ErrKey) {
		t.Fatal(err)
	}
	if err := one.InstallKey(key); !errors.Is(err, ErrKeyRemoved) {
		t.Fatal(err)
	}
	if err := one.UseKey("0a0b0c0d", false); !errors.Is(err, ErrUnknownKey) {
		t.Fatal(err)
	}
	if err := one.RemoveKey(id, false); !errors.Is(err, ErrKeySeals) {
		t.Fatal(err)
	}
}

func TestMetricsHaveKindsAndLabels(t *testing.T) {
	one, _ := pair(t)
	metrics, err := one.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, metric := range metrics {
		kinds[metric.Name] = metric.Kind
		if metric.Help == "" {
			t.Errorf("%s has no help", metric.Name)
		}
		if metric.Name == "tribe_members" && metric.Labels["state"] == "alive" && metric.Value < 1 {
			t.Errorf("%+v", metric)
		}
	}
	if kinds["tribe_members"] != "gauge" || kinds["tribe_datagrams_sent_total"] != "counter" {
		t.Fatalf("%v", kinds)
	}
}

func TestWhatIsWrongIsRefusedAndSaysWhy(t *testing.T) {
	one, other := pair(t)
	listener, err := one.Serve("few", ServeOptions{Tribes: []string{"core"}, Most: 1, Hidden: true})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ctx := long(t)
	dial := func(node *Node, target Target, service string) error {
		conn, err := node.Dial(ctx, target, service)
		if err == nil {
			defer conn.Close()
		}
		return err
	}
	first, err := one.Dial(ctx, OnNode("g1"), "few")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	for _, check := range []struct {
		err  error
		want *Error
	}{
		{dial(one, OnNode("g1"), "few"), ErrBusy},
		{dial(other, OnNode("g1"), "few"), ErrNotAllowed},
		{dial(other, OnNode("g1"), "nothing"), ErrNoService},
		{dial(other, InTribe("core"), "few"), ErrNoOffer},
		{dial(other, InTribe("corr"), "few"), ErrUnknownTribe},
		{dial(other, OnNode("g9"), "few"), ErrUnknownNode},
		{dial(other, OnNode("g1"), "no name"), ErrName},
		{one.CreateTribe("core", ""), ErrTribeExists},
		{one.Join("corr", ""), ErrUnknownTribe},
		{one.DescribeTribe("corr", ""), ErrUnknownTribe},
		{func() error { _, err := one.Serve("few", ServeOptions{}); return err }(), ErrServiceExists},
		{func() error { _, err := one.Offers(OfferQuery{Plugin: "a:b:c"}); return err }(), ErrPattern},
		{func() error { _, err := Open(Config{Name: "no name"}); return err }(), ErrName},
	} {
		if !errors.Is(check.err, check.want) {
			t.Errorf("%v, not %v", check.err, check.want)
		}
	}
	err = one.Join("corr", "")
	if err := one.DescribeTribe("core", "all"); err != nil {
		t.Error(err)
	}
	if err.Error() != "tribe: join: there is no tribe `corr`, did you mean `core`?" {
		t.Error(err)
	}
}
