package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"kadeploy/kascade"
	"kadeploy/kascade/internal/control"
)

// Relay is the process of one node: it joins as the tool's nodes do, and throws its copy away.
func Relay(ctx context.Context, in io.Reader, out, errs io.Writer) error {
	p, o, err := begin(ctx, in, out)
	if err != nil {
		return err
	}
	if o.Relay == nil {
		return errors.New("the first line does not say what this relay is")
	}
	p.say(&event{Up: true})
	g, err := p.next()
	if err != nil {
		return err
	}
	link, err := control.Dial(p.ctx, g.Go, nil, o.Relay.Name)
	if err != nil {
		return err
	}
	if o.Relay.Dead {
		p.say(&event{Joined: true})
		<-p.ctx.Done()
		return nil
	}
	s := newNullSink(o.Relay, func() {
		p.say(&event{Mark: true})
		if o.Relay.Die { // nobody could do it as soon
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
	})
	opts := kascade.NodeOptions{Listen: net.JoinHostPort(o.Relay.Listen, "0"), Logger: logger(o.Relay.Log, errs).With("node", o.Relay.Name)}
	err = kascade.Join(p.ctx, link, s, opts)
	p.say(&event{Relay: s.end(err)})
	return nil
}
