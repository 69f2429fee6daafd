package bench

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"kadeploy/kascade"
)

// Head is the head's process: it does what the tool's head does.
func Head(ctx context.Context, in io.Reader, out, errs io.Writer) error {
	p, o, err := begin(ctx, in, out)
	if err != nil {
		return err
	}
	if o.Head == nil {
		return errors.New("the first line does not say what this head does")
	}
	end := &headEnd{}
	if err := runHead(p, o.Head, end, errs); err != nil {
		end.Error = err.Error()
	}
	end.Memory = peakMemory(os.Getpid())
	p.say(&event{Head: end})
	return nil
}

// sourceFile is the file descriptor of the source.
const sourceFile = 3

func runHead(p *child, o *headOrder, end *headEnd, errs io.Writer) error {
	ln, err := (&net.ListenConfig{}).Listen(p.ctx, "tcp", net.JoinHostPort(o.Listen, "0"))
	if err != nil {
		return err
	}
	p.say(&event{Listening: ln.Addr().String()})
	src := data{os.NewFile(sourceFile, "source"), o.Case.Size}
	var ready watch
	gathered := make(chan error, 1)
	var peers []kascade.Peer
	go func() {
		var err error
		peers, err = gather(p.ctx, ln, len(o.Names), &ready)
		gathered <- err
	}()
	if err := <-gathered; err != nil {
		for _, peer := range peers {
			peer.Control.Close()
		}
		return err
	}
	end.Begin = time.Now().UnixNano()
	opts := headOptions(&o.Case)
	opts.Listen, opts.Order, opts.Logger = net.JoinHostPort(o.Listen, "0"), o.Names, logger(o.Log, errs)
	res, err := kascade.Broadcast(p.ctx, src, nil, peers, opts)
	end.End = time.Now().UnixNano()
	end.Ready = ready.last.Load()
	if res != nil {
		end.take(res)
	}
	return err
}

// Size makes data a kascade.Source.
func (d data) Size() int64 { return d.size }

// headOptions are the engine's options for a case.
func headOptions(c *Case) kascade.HeadOptions {
	return kascade.HeadOptions{
		Window: c.Window, ChunkSize: c.Chunk, Chains: c.Chains, Slow: c.Slow, Encrypt: c.Encrypt, Compress: c.Compress, NoVerify: c.NoVerify,
		StartWithin: c.StartWithin,
	}
}

func (end *headEnd) take(res *kascade.Result) {
	end.Nodes, end.Slow, end.Sent = map[string]string{}, map[string]string{}, res.Sent
	for name, err := range res.Nodes {
		end.Nodes[name] = ""
		if err != nil {
			end.Nodes[name] = err.Error()
		}
	}
	for _, n := range res.Slow {
		end.Slow[n.Name] = n.Cause
		if n.Side {
			end.Slow[n.Name] += "; beside the chain"
		}
	}
}
