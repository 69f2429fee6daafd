package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/manual"
	"kadeploy/coordinator/internal/prepare"
)

// prepareImageCommand makes a prepared image of a file, as the daemon does; what
// measures how fast nodes take it (make bench-image) needs one.
func prepareImageCommand() *cobra.Command {
	var im prepare.Image
	var form string
	cmd := &cobra.Command{
		Use: "prepare-image IMAGE OUTPUT", Hidden: true, Short: "Prepare a tar image in a file", Args: manual.Words("IMAGE", "OUTPUT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			im.Kind, im.Path = "tar", args[0]
			return prepareImage(cmd.Context(), im, form, args[1])
		},
	}
	cmd.Flags().StringVar(&form, "form", "blocks", "blocks or frames")
	cmd.Flags().StringVar(&im.Compression, "compression", "none", "of the image, as in descriptions")
	cmd.Flags().StringVar(&im.MkfsArguments, "mkfs", "", "the site's arguments of mkfs.ext4")
	return cmd
}

func prepareImage(ctx context.Context, im prepare.Image, name, output string) (err error) {
	forms := map[string]prepare.Form{}
	for _, f := range []prepare.Form{prepare.Blocks{}, prepare.Frames{}} {
		forms[f.Name()] = f
	}
	form := forms[name]
	if form == nil {
		return fmt.Errorf("unknown form %q: use blocks or frames", name)
	}
	im.Filesystem = "ext4"
	in, err := os.Open(im.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	im.Size = st.Size()
	if _, ok := form.Key(im); !ok {
		return fmt.Errorf("%s: %s do not suit it, or the arguments of mkfs", im.Path, name)
	}
	out, err := os.Create(output)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			os.Remove(output)
		}
	}()
	scratch, err := os.MkdirTemp(filepath.Dir(output), ".prepare-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	return form.Make(ctx, prepare.Job{Image: im, Source: in, Scratch: scratch, Out: out})
}
