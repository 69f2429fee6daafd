package remote

import (
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// outputGrace is how long a command's output is read on after its end: a process that
// it left in the background may hold the stream open for ever.
const outputGrace = 300 * time.Millisecond

// killed is the status of a command that a signal ended.
const killed = 128

// run runs one command (RFC 4254, section 6). ssh.Session cannot serve: it waits for
// the end of the channel, which those who live on in the background put off.
func run(client *ssh.Client, line string, stdin io.Reader, stdout, stderr io.Writer) (status int, err error) {
	channel, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		return -1, err
	}
	defer channel.Close()
	ended := make(chan int, 1)
	go await(requests, ended)
	ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{line}))
	if err != nil {
		return -1, err
	}
	if !ok {
		return -1, errors.New("the node's sshd refuses to run commands for this key")
	}
	go func() {
		if stdin != nil {
			_, _ = io.Copy(channel, stdin) // a command may end without reading all of it
		}
		_ = channel.CloseWrite()
	}()
	read := make(chan struct{})
	var streams sync.WaitGroup
	streams.Go(func() { _, _ = io.Copy(stdout, channel) })
	streams.Go(func() { _, _ = io.Copy(stderr, channel.Stderr()) })
	go func() { streams.Wait(); close(read) }()

	status, ok = <-ended
	select {
	case <-read:
	case <-time.After(outputGrace):
		client.Close() // ends the streams
		<-read
	}
	if !ok {
		return -1, errors.New("the connection was lost before the command had ended")
	}
	return status, nil
}

// await passes on how the command ended; ended is closed without a word if that is never told.
func await(requests <-chan *ssh.Request, ended chan<- int) {
	defer close(ended)
	told := false
	for r := range requests {
		status := -1
		switch r.Type {
		case "exit-status":
			var s struct{ Status uint32 }
			if ssh.Unmarshal(r.Payload, &s) == nil {
				status = int(s.Status)
			}
		case "exit-signal":
			status = killed
		}
		if status >= 0 && !told {
			ended <- status
			told = true
		}
		if r.WantReply {
			_ = r.Reply(false, nil)
		}
	}
}
