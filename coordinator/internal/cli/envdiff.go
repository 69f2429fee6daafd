package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"kadeploy/coordinator/internal/env"
	"kadeploy/coordinator/internal/manual"
)

// envDiff is kadeploy env diff.
type envDiff struct {
	generic
}

// differ is the exit status for environments that are not the same, as diff(1) has it.
const differ = 1

func (a *App) envDiffCommand() *cobra.Command {
	d := &envDiff{generic{app: a}}
	cmd := &cobra.Command{
		Use:   "diff A B [options]",
		Short: "Show how two environments differ",
		Long: `Show how the descriptions of two environments differ, as a unified diff. Each is NAME, NAME:VERSION or
NAME:VERSION@USER in the registry, or a file, or a URL. The order of fields and the
way in which they are written do not count.

Exit status: 0 they are the same, 1 they differ or an error was told, otherwise as 'kadeploy env'.`,
		Example: "  kadeploy env diff debian12-min:3 debian12-min\n  kadeploy env diff debian12-min@deploy my.dsc",
		Args:    manual.Words("A", "B"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
			words, _ := d.environments(cmd, args, start)
			return words, cobra.ShellCompDirectiveDefault // files, too
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if asked, err := d.asked(cmd.Context()); asked {
				return err
			}
			return d.do(cmd.Context(), args[0], args[1])
		},
	}
	d.generic.define(cmd)
	return cmd
}

// side is one of two descriptions.
type side struct {
	label string
	desc  *env.Description
}

func (d *envDiff) do(ctx context.Context, a, b string) error {
	var sides [2]side
	var s *session
	for i, word := range []string{a, b} {
		if isFile(word) {
			desc, err := readDescription(ctx, d.app.Stderr, word)
			if err != nil {
				return err
			}
			sides[i] = side{word, desc}
			continue
		}
		if s == nil {
			var err error
			if s, err = d.session(ctx); err != nil {
				return err
			}
			defer s.Close()
		}
		e, err := parseEnvRef(word).fetch(ctx, s)
		if err != nil {
			return err
		}
		sides[i] = side{e.String(), &e.Description}
	}
	return d.show(sides)
}

func (d *envDiff) show(sides [2]side) error {
	var texts [2][]byte
	for i, s := range sides {
		text, err := s.desc.Print()
		if err != nil {
			return fmt.Errorf("%s: %w", s.label, err)
		}
		texts[i] = text
	}
	difference := diff.Diff(sides[0].label, texts[0], sides[1].label, texts[1])
	if len(difference) == 0 {
		return nil
	}
	text := string(difference)
	if _, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(text, "diff ") {
		text = rest // that line is for patches of several files
	}
	var err error
	if d.json {
		err = json.NewEncoder(d.app.Stdout).Encode(struct {
			A    string `json:"a"`
			B    string `json:"b"`
			Diff string `json:"diff"`
		}{sides[0].label, sides[1].label, text})
	} else {
		if d.app.Terminal != nil && d.app.Terminal() > 0 && d.app.Getenv("NO_COLOR") == "" {
			text = coloured(text)
		}
		_, err = io.WriteString(d.app.Stdout, text)
	}
	if err != nil {
		return err
	}
	return &exitError{status: differ}
}

// coloured is a unified diff in the colours that people know.
func coloured(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		line, newline := strings.CutSuffix(line, "\n")
		code := ""
		switch {
		case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"):
			code = "1"
		case strings.HasPrefix(line, "@@"):
			code = "36"
		case strings.HasPrefix(line, "-"):
			code = "31"
		case strings.HasPrefix(line, "+"):
			code = "32"
		}
		if code != "" {
			line = "\x1b[" + code + "m" + line + "\x1b[0m"
		}
		b.WriteString(line)
		if newline {
			b.WriteByte('\n')
		}
	}
	return b.String()
}
