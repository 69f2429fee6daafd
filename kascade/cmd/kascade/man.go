package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man",
		Hidden: true,
		Short:  "Print the manual page, in the format of man(7)",
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return manual(cmd.OutOrStdout()) },
	}
}

// manual writes the manual page, made of the same texts as the help.
func manual(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH KASCADE 1 \"\" \"kascade\" \"User commands\"\n.SH NAME\nkascade \\- %s\n.SH SYNOPSIS\n.B kascade\n%s\n",
		roff(strings.ToLower(brief[:1])+brief[1:]), roff(strings.TrimPrefix(usageLine, "kascade ")))
	for _, sub := range []string{"bench [options]", "completion bash|zsh|fish", "man"} {
		fmt.Fprintf(&b, ".br\n.B kascade\n%s\n", roff(sub))
	}
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s", paragraphs(about))
	b.WriteString(".SH OPTIONS\n")
	for _, g := range (&options{}).groups() {
		fmt.Fprintf(&b, ".SS %s\n", roff(g.title))
		g.flags.VisitAll(func(f *pflag.Flag) { b.WriteString(option(f)) })
	}
	fmt.Fprintf(&b, ".SH EXIT STATUS\n%s", paragraphs(exits))
	b.WriteString(".SH ENVIRONMENT\n.TP\n.B KASCADE_KEY\nthe key that head and nodes share, with \\-D none and without \\-\\-key\\-file\n")
	b.WriteString(".TP\n.B TMPDIR\nwhere nodes put the copy of the program while it is started\n")
	b.WriteString(".SH SEE ALSO\n.BR ssh (1)\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func option(f *pflag.Flag) string {
	name, usage := pflag.UnquoteUsage(f)
	var b strings.Builder
	b.WriteString(".TP\n.B ")
	if f.Shorthand != "" {
		fmt.Fprintf(&b, "\\-%s, ", f.Shorthand)
	}
	b.WriteString(roff("--" + f.Name))
	if name != "" {
		b.WriteString(" \\fI" + roff(name) + "\\fR")
	}
	b.WriteString("\n" + roff(usage))
	if f.DefValue != "" && f.DefValue != "false" {
		b.WriteString(roff(" (default " + f.DefValue + ")"))
	}
	return b.String() + "\n"
}

// paragraphs is a text for man: lines that are indented stay as they are.
func paragraphs(text string) string {
	var b strings.Builder
	indented := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		now := strings.HasPrefix(line, "  ")
		switch {
		case now && !indented:
			b.WriteString(".PP\n.nf\n")
		case !now && indented:
			b.WriteString(".fi\n")
		}
		indented = now
		if line == "" {
			b.WriteString(".PP\n")
			continue
		}
		b.WriteString(roff(line) + "\n")
	}
	if indented {
		b.WriteString(".fi\n")
	}
	return b.String()
}

// roff escapes what means something at any place of a line, or at its begin.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
