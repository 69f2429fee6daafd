package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds of one transaction that many share.
const (
	commitTime = 30 * time.Second
	commitMost = 1024 // changes; who comes later is in the next one
)

// commits puts the changes that wait at the same time into one transaction, and so
// pays one flush to the disk for all of them. While one transaction is written the
// next ones gather.
type commits struct {
	mu      sync.Mutex
	waiting []*change
	writing bool
}

// change is one caller's part of a transaction.
type change struct {
	do      func(ctx context.Context, tx *sql.Tx) error
	begun   bool          // or given up by its caller; the group's mu guards it
	done    chan struct{} // closed when err stands
	err     error
	settled sync.Once
}

func (c *change) answer(err error) {
	c.settled.Do(func() {
		c.err = err
		close(c.done)
	})
}

// update runs do in a writing transaction, which it may share with others, and
// returns when the change is on the disk. If do returns an error its changes are
// undone, and nobody else's. do must not keep tx, nor call update or view; its ctx
// is not the caller's: a statement that is interrupted would undo what others did.
func (s *Store) update(ctx context.Context, do func(ctx context.Context, tx *sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &change{do: do, done: make(chan struct{})}
	g := &s.commits
	g.mu.Lock()
	g.waiting = append(g.waiting, c)
	lead := !g.writing
	g.writing = true
	g.mu.Unlock()
	if lead {
		go s.writeAll()
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
	}
	g.mu.Lock()
	begun := c.begun
	if !begun {
		c.begun = true // by nobody: it is left out
		c.answer(ctx.Err())
	}
	g.mu.Unlock()
	<-c.done // bounded by commitTime
	return c.err
}

// writeAll commits what waits, again and again, until nothing does.
func (s *Store) writeAll() {
	for {
		group := s.commits.next()
		if group == nil {
			return
		}
		err := s.commit(group)
		for _, c := range group {
			c.answer(err) // unless it failed by itself
		}
	}
}

func (g *commits) next() []*change {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.writing = false
		return nil
	}
	n := min(len(g.waiting), commitMost)
	all := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	group := make([]*change, 0, n)
	for _, c := range all {
		if !c.begun {
			c.begun = true
			group = append(group, c)
		}
	}
	return group
}

func (s *Store) commit(group []*change) error {
	if len(group) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), commitTime)
	defer cancel()
	return transaction(ctx, s.writer, func(tx *sql.Tx) error {
		if len(group) == 1 {
			if err := group[0].do(ctx, tx); err != nil {
				group[0].answer(err)
				return err
			}
			return nil
		}
		for _, c := range group {
			if err := savepoint(ctx, tx, c); err != nil {
				return err
			}
		}
		return nil
	})
}

// savepoint does one change so that it can be undone alone. An error is that of the
// whole transaction.
func savepoint(ctx context.Context, tx *sql.Tx, c *change) error {
	if _, err := tx.ExecContext(ctx, "SAVEPOINT change"); err != nil {
		return fmt.Errorf("begin a change: %w", err)
	}
	failed := c.do(ctx, tx)
	end := "RELEASE change"
	if failed != nil {
		end = "ROLLBACK TO change; RELEASE change"
	}
	if _, err := tx.ExecContext(ctx, end); err != nil {
		return errors.Join(fmt.Errorf("end a change: %w", err), failed)
	}
	if failed != nil {
		c.answer(failed)
	}
	return nil
}
