package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"kadeploy/coordinator/internal/loan"
)

// lend passes open files to the server over a connection of their own, which
// stays open for as long as the files are needed.
func (c *Client) lend(ctx context.Context, paths []string) (_ *Export, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	var d net.Dialer
	dialled, err := d.DialContext(ctx, "unix", c.server.Socket)
	if err != nil {
		return nil, err
	}
	conn := dialled.(*net.UnixConn)
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	answers := bufio.NewReader(conn)
	if err := upgrade(conn, answers); err != nil {
		return nil, err
	}
	var opened loan.Opened
	if err := hear(answers, &opened); err != nil {
		return nil, err
	}
	for _, path := range paths {
		if err := offer(conn, path); err != nil {
			return nil, fmt.Errorf("lend %s: %w", path, err)
		}
		var a loan.Answer
		if err := hear(answers, &a); err != nil {
			return nil, fmt.Errorf("lend %s: %w", path, err)
		}
		if a.Error != "" {
			return nil, fmt.Errorf("the server does not take a file: %s", a.Error)
		}
	}
	return &Export{base: opened.Client, end: conn.Close}, nil
}

// upgrade turns the connection into one on which files are lent.
func upgrade(conn *net.UnixConn, answers *bufio.Reader) error {
	req, err := http.NewRequest(http.MethodPost, "http://kadeploy"+loan.Path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", loan.Protocol)
	if err := req.Write(conn); err != nil {
		return err
	}
	resp, err := http.ReadResponse(answers, req)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		resp.Body.Close()
		return fmt.Errorf("it does not take open files (%s): is it older than this command?", resp.Status)
	}
	return nil
}

// offer sends one open file, whose descriptor comes with the line that names it.
func offer(conn *net.UnixConn, path string) error {
	f, err := openRegular(path)
	if err != nil {
		return err
	}
	defer f.Close() // the message has its own
	line, err := json.Marshal(loan.Offer{Path: path})
	if err != nil {
		return err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Control(func(fd uintptr) {
		_, _, sendErr = conn.WriteMsgUnix(append(line, '\n'), unix.UnixRights(int(fd)), nil)
	})
	return errors.Join(err, sendErr)
}

func hear(answers *bufio.Reader, v any) error {
	line, err := answers.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("the server broke off: %w", err)
	}
	return json.Unmarshal(line, v)
}
