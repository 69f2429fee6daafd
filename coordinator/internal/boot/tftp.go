package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pin/tftp/v3"
)

const (
	tftpTimeout = time.Second // for one acknowledgement
	tftpRetries = 5
)

// openTFTP serves the loaders, and the repository for sites whose firmware
// fetches kernels that way. There is no writing.
func (s *Service) openTFTP(cfg *Config, from ...opener) error {
	at := netip.AddrPortFrom(cfg.Address.Addr(), uint16(cfg.TFTPPort))
	conn, err := listenOn(cfg.Interface, at)
	if err != nil {
		return portError("TFTP", "UDP", at, err)
	}
	s.closers = append(s.closers, conn.Close)
	s.servers = append(s.servers, func(ctx context.Context) error {
		srv := tftp.NewServer(func(name string, to io.ReaderFrom) error {
			return sendTFTP(ctx, from, name, to, cfg.Logger)
		}, nil)
		srv.SetTimeout(tftpTimeout)
		srv.SetRetries(tftpRetries)
		stopped := make(chan struct{})
		context.AfterFunc(ctx, func() { srv.Shutdown(); close(stopped) })
		err := srv.Serve(conn)
		if ctx.Err() != nil {
			<-stopped // transfers under way notice ctx at their next block
			return nil
		}
		return fmt.Errorf("serve loaders by TFTP: %w", err)
	})
	return nil
}

// sendTFTP sends one file from the first place that has it.
func sendTFTP(ctx context.Context, places []opener, name string, to io.ReaderFrom, log *slog.Logger) error {
	clean := strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(name, `\`, "/")), "/")
	for _, open := range places {
		f, info, err := open(clean)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			log.Warn("boot file cannot be served by TFTP", "path", name, "error", err)
			break
		}
		defer f.Close()
		if t, ok := to.(tftp.OutgoingTransfer); ok {
			t.SetSize(info.Size()) // firmware asks for it to reserve memory
		}
		_, err = to.ReadFrom(&ctxReader{ctx, f})
		return err
	}
	return fmt.Errorf("no file %q", name)
}

// ctxReader fails once ctx has ended.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
