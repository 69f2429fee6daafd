package launch

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"kadeploy/kascade"
)

// subject is a launcher with a way to tell what a test needs of its surroundings.
type subject struct {
	Launcher
	good    []string // hosts that can be brought up; they echo their order and what follows
	bad     string   // one that cannot
	why     string   // what its reason contains
	hangs   string   // one that never answers
	within  time.Duration
	started func() // called beside Launch; may be nil
}

// conform is what every launcher has to do.
func conform(t *testing.T, make func(t *testing.T) subject) {
	t.Run("up and failed", func(t *testing.T) {
		s := make(t)
		if s.started != nil {
			go s.started()
		}
		var nodes []Node
		for _, name := range append(slices.Clone(s.good), s.bad) {
			nodes = append(nodes, Node{name, []byte("I am " + name)})
		}
		start := time.Now()
		up, failed := s.Launch(t.Context(), nodes)
		if d := time.Since(start); d > patience*s.within {
			t.Errorf("the launch took %v, want at most %v", d, patience*s.within)
		}
		if len(failed) != 1 || failed[s.bad] == nil || !strings.Contains(failed[s.bad].Error(), s.why) {
			t.Errorf("failed: %v, want %s with %q", failed, s.bad, s.why)
		}
		var names []string
		for _, p := range up {
			names = append(names, p.Name)
			if want := "127.0.0."; !strings.HasPrefix(p.Host, want) {
				t.Errorf("%s is reached at %q, want %s...", p.Name, p.Host, want)
			}
			talk(t, p)
		}
		slices.Sort(names)
		want := slices.Clone(s.good)
		slices.Sort(want)
		if !slices.Equal(names, want) {
			t.Errorf("up are %v, want %v", names, want)
		}
		closed(t, up)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		s := make(t)
		if s.started != nil {
			go s.started()
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("enough")
		time.AfterFunc(time.Second, func() { cancel(stop) })
		start := time.Now()
		up, failed := s.Launch(ctx, []Node{{s.good[0], nil}, {s.hangs, nil}})
		if len(up) != 0 || !errors.Is(failed[s.good[0]], stop) || !errors.Is(failed[s.hangs], stop) {
			t.Errorf("up %v, failed %v, want all failed with %v", up, failed, stop)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(start); d > patience*5*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

// talk checks that the node got its order and that bytes flow both ways.
func talk(t *testing.T, p kascade.Peer) {
	t.Helper()
	want := "I am " + p.Name + "hello"
	io.WriteString(p.Control, "hello")
	b := make([]byte, len(want))
	late := time.AfterFunc(10*time.Second, func() { p.Control.Close() })
	defer late.Stop()
	if _, err := io.ReadFull(p.Control, b); err != nil || string(b) != want {
		t.Errorf("%s said %q, %v, want %q", p.Name, b, err, want)
	}
}

// closed checks that Close makes a blocked Read return.
func closed(t *testing.T, up []kascade.Peer) {
	t.Helper()
	for _, p := range up {
		ended := make(chan error, 1)
		go func() {
			_, err := p.Control.Read(make([]byte, 1))
			ended <- err
		}()
		time.Sleep(time.Millisecond) // most likely blocked by now; if not, the test is only easier
		p.Control.Close()
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s: a byte came out of nothing", p.Name)
			}
		case <-time.After(2 * time.Second):
			t.Errorf("%s: Read did not return after Close", p.Name)
		}
	}
}
