// Echo serves an echo to the members of a cluster, and dials those of others.
//
//	echo g1 -key-file tribe.key -bind 127.0.0.1:6000 -serve echo/go -tribe echoes
//
// -tribe joins a tribe, and creates it if there is none. Commands on stdin, one a line:
//
//	dial tribe echoes echo/c 64    sends 64 MiB to any member of a tribe that offers the service,
//	dial node c1 echo/c 64         or to a node, and compares what comes back
//	quit                           so does the end of stdin
//
// What comes of it is printed, one JSON object a line.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash"
	"io"
	"log"
	"math/rand"
	"os"
	"strings"
	"time"

	tribe "github.com/intelsdi-x/tribe/ffi/go"
)

const blockBytes = 64 * 1024

func say(kind, subject string, body map[string]any) {
	line, err := json.Marshal(map[string]any{"kind": kind, "subject": subject, "body": body})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}

// serve sends back what comes, on each stream while it comes.
func serve(listener *tribe.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if _, err := io.CopyBuffer(writer{conn}, reader{conn}, make([]byte, blockBytes)); err != nil {
				log.Printf("%v: %v", conn.RemoteAddr(), err)
			}
		}()
	}
}

// So that io.Copy reads and writes, and does not look for a shorter way.
type reader struct{ io.Reader }
type writer struct{ io.Writer }

// send sends blocks, no two of them alike, and then that it is over.
func send(conn *tribe.Conn, blocks int, sum hash.Hash) error {
	block := make([]byte, blockBytes)
	rand.New(rand.NewSource(1)).Read(block)
	for number := range blocks {
		binary.LittleEndian.PutUint64(block, uint64(number))
		sum.Write(block)
		if _, err := conn.Write(block); err != nil {
			return err
		}
	}
	return conn.CloseWrite()
}

func dial(node *tribe.Node, target tribe.Target, service string, mib int) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := node.Dial(ctx, target, service)
	if err != nil {
		code := "other"
		var known *tribe.Error
		if errors.As(err, &known) {
			code = known.Name
		}
		say("failed", service, map[string]any{"code": code, "error": err.Error()})
		return
	}
	defer conn.Close()
	sent, heard := sha256.New(), sha256.New()
	blocks := mib * 1024 * 1024 / blockBytes
	done := make(chan error, 1)
	go func() { done <- send(conn, blocks, sent) }()
	count, err := io.CopyBuffer(heard, reader{conn}, make([]byte, blockBytes))
	err = errors.Join(err, <-done)
	same := bytes.Equal(sent.Sum(nil), heard.Sum(nil)) && count == int64(blocks*blockBytes)
	body := map[string]any{"peer": conn.Peer().Name, "bytes": count, "same": same, "error": nil}
	if err != nil {
		body["error"] = err.Error()
	}
	say("dialled", service, body)
}

func commands(node *tribe.Node) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() && lines.Text() != "quit" {
		var by, target, service string
		var mib int
		if _, err := fmt.Sscanf(lines.Text(), "dial %s %s %s %d", &by, &target, &service, &mib); err != nil {
			log.Printf("%q is no command: %v", lines.Text(), err)
			continue
		}
		if by == "tribe" {
			dial(node, tribe.InTribe(target), service, mib)
		} else {
			dial(node, tribe.OnNode(target), service, mib)
		}
	}
}

func run(config tribe.Config, service, group string) error {
	node, err := tribe.Open(config)
	if err != nil {
		return err
	}
	if group != "" {
		if err := node.CreateTribe(group, ""); err != nil && !errors.Is(err, tribe.ErrTribeExists) {
			return err
		}
		if err := node.Join(group, ""); err != nil {
			return err
		}
	}
	if service != "" {
		listener, err := node.Serve(service, tribe.ServeOptions{})
		if err != nil {
			return err
		}
		defer listener.Close()
		go serve(listener)
	}
	say("started", node.Name(), map[string]any{"address": node.Address()})
	commands(node)
	return node.Close()
}

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		log.Fatal("usage: echo NAME -key-file FILE [-bind IP:PORT] [-seed HOST:PORT]... [-serve SERVICE] [-tribe TRIBE]")
	}
	config := tribe.Config{Name: os.Args[1], NoCollect: true}
	flags := flag.NewFlagSet("echo", flag.ExitOnError)
	flags.StringVar(&config.Bind, "bind", "0.0.0.0:6000", "where to listen, `IP:PORT`")
	flags.StringVar(&config.KeyFile, "key-file", "", "the cluster's keys, a `file`")
	flags.Func("seed", "a node to meet the cluster through, `HOST:PORT`", func(seed string) error {
		config.Seeds = append(config.Seeds, seed)
		return nil
	})
	service := flags.String("serve", "", "serve an echo as this `service`")
	group := flags.String("tribe", "", "join this `tribe`")
	flags.Parse(os.Args[2:])
	if err := run(config, *service, *group); err != nil {
		log.Fatal(err)
	}
}
