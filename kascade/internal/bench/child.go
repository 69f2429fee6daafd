package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// child is this process, as seen from itself.
type child struct {
	ctx    context.Context // ends with the standard input
	orders chan order
	out    *json.Encoder
}

// begin reads the first order.
func begin(ctx context.Context, in io.Reader, out io.Writer) (*child, order, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &child{ctx: ctx, orders: make(chan order), out: json.NewEncoder(out)}
	go func() {
		for d := json.NewDecoder(bufio.NewReader(in)); ; {
			var o order
			if err := d.Decode(&o); err != nil {
				cancel(fmt.Errorf("the benchmark is gone: %w", err))
				return
			}
			select {
			case c.orders <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	o, err := c.next()
	return c, o, err
}

func (c *child) next() (order, error) {
	select {
	case o := <-c.orders:
		return o, nil
	case <-c.ctx.Done():
		return order{}, context.Cause(c.ctx)
	}
}

// say tells the benchmark. A failure means that it is gone, which the standard input tells, too.
func (c *child) say(e *event) { _ = c.out.Encode(e) }

func logger(on bool, to io.Writer) *slog.Logger {
	if !on {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
