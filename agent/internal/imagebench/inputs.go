package imagebench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"kadeploy/proto/image/frames"
)

// rootPackages make a Debian of about 1.2 GB and 29,000 entries.
const rootPackages = "linux-image-amd64,build-essential,git,python3,openssh-server,grub-pc,rsync,tmux,htop,strace,lsof," +
	"manpages-dev,python3-dev,sudo,curl,iproute2,locales,firmware-linux-free"

// made tells how each input is made, of another one with sh ($1: that, $2: itself).
var made = map[string]struct{ of, command string }{
	"root.tar.zst": {"root.tar", `zstd -q -3 "$1" -o "$2"`},
	"root.tar.lz4": {"root.tar", `lz4 -q "$1" "$2"`},
	"root.tar.gz":  {"root.tar", `pigz -c "$1" >"$2"`}, // one stream, as gzip makes it
	"root.tar.xz":  {"root.tar", `xz -T0 -3 -c "$1" >"$2"`},
	"disk.zst":     {"disk", `zstd -q -3 "$1" -o "$2"`},
}

// prepareInput returns the path of an input, which is made if it is not there.
func prepareInput(ctx context.Context, c Config, name string) (string, error) {
	path := filepath.Join(c.Dir, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Fprintf(c.Log, "making %s\n", path)
	part := path + ".part"
	os.Remove(part)
	if err := makeInput(ctx, c, name, part); err != nil {
		return "", fmt.Errorf("make %s: %w", path, err)
	}
	return path, os.Rename(part, path)
}

func makeInput(ctx context.Context, c Config, name, part string) error {
	switch name {
	case "root.tar":
		_, err := output(ctx, "mmdebstrap", "--mode=root", "--variant=important", "--format=tar", "--aptopt=APT::Install-Recommends \"false\"",
			"--include="+rootPackages, "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr", "bookworm", part)
		return err
	case "root.frames.zst":
		from, err := prepareInput(ctx, c, "root.tar")
		if err != nil {
			return err
		}
		return makeFrames(ctx, from, part)
	case "root.blocks.zst":
		from, err := prepareInput(ctx, c, "root.tar.zst")
		if err != nil {
			return err
		}
		_, err = output(ctx, filepath.Join(filepath.Dir(c.Self), "kadeployd"), "prepare-image", "--form", "blocks", "--compression", "zstd", from, part)
		return err
	case "disk":
		return makeDisk(ctx, c, part)
	}
	how := made[name]
	from, err := prepareInput(ctx, c, how.of)
	if err != nil {
		return err
	}
	_, err = output(ctx, "sh", "-e", "-c", how.command, "sh", from, part)
	return err
}

// makeFrames does what the coordinator does with an image.
func makeFrames(ctx context.Context, from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	body, err := os.Create(to + ".frames")
	if err != nil {
		return err
	}
	defer os.Remove(body.Name())
	defer body.Close()
	index, err := frames.Encode(ctx, body, in, frames.Options{})
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := out.Write(index.Encode()); err != nil {
		return err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(out, body)
	return err
}

// makeDisk makes a disk of 8 GiB with 1 GiB of the root's bytes in pieces all over it.
func makeDisk(ctx context.Context, c Config, part string) (err error) {
	from, err := prepareInput(ctx, c, "root.tar")
	if err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(part)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	const pieces, size, data = 256, 8 << 30, 1 << 30
	rng := rand.New(rand.NewPCG(8, 1))
	r := bufio.NewReader(in)
	for i := range int64(pieces) {
		at := i*(size/pieces) + rng.Int64N(size/pieces-data/pieces)&^4095
		if _, err := io.CopyN(io.NewOffsetWriter(out, at), r, data/pieces); err != nil {
			return err
		}
	}
	return out.Truncate(size)
}
