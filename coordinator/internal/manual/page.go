package manual

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Page is what a manual page says beside what the command itself does.
type Page struct {
	Section string   // 1 for users' commands, 8 for daemons
	Source  string   // of the program, with its version
	See     []string // other pages, as kadeploy(1)
	Notes   []Note   // further sections
}

// Note is a section of a manual page; its lines are kept.
type Note struct{ Title, Text string }

// Name is the name of a command's page: kadeploy-env-diff.
func Name(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// Write writes the manual page of a command, in the macros of man(7).
func Write(w io.Writer, cmd *cobra.Command, p Page) error {
	var b strings.Builder
	name := Name(cmd)
	fmt.Fprintf(&b, ".\\\" Generated from the command itself.\n.TH %s %s \"\" %s Kadeploy\n", quote(strings.ToUpper(name)), p.Section, quote(p.Source))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", escape(name), escape(lowerFirst(cmd.Short)))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", escape(cmd.CommandPath()))
	if _, rest, ok := strings.Cut(cmd.Use, " "); ok {
		b.WriteString(escape(rest) + "\n")
	}
	description, status, _ := strings.Cut(cmd.Long, "Exit status:")
	b.WriteString(".SH DESCRIPTION\n" + prose(description))
	if all := Options(cmd); len(all) > 0 {
		b.WriteString(".SH OPTIONS\n")
		for _, o := range all {
			b.WriteString(option(o))
		}
	}
	if status = strings.Trim(status, "\n"); status != "" {
		section(&b, "EXIT STATUS", status)
	}
	for _, n := range p.Notes {
		section(&b, n.Title, n.Text)
	}
	if cmd.Example != "" {
		section(&b, "EXAMPLES", cmd.Example)
	}
	if len(p.See) > 0 {
		b.WriteString(".SH SEE ALSO\n" + escape(strings.Join(p.See, ", ")) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// section is a part whose lines stay as they are.
func section(b *strings.Builder, title, text string) {
	fmt.Fprintf(b, ".SH %s\n.nf\n", title)
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		b.WriteString(escape(strings.TrimPrefix(line, "  ")) + "\n")
	}
	b.WriteString(".fi\n")
}

// prose is paragraphs; a line that begins with blanks stays a line.
func prose(text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		switch {
		case line == "":
			b.WriteString(".PP\n")
		case strings.HasPrefix(line, " "):
			b.WriteString(".br\n" + escape(line) + "\n")
		default:
			b.WriteString(escape(line) + "\n")
		}
	}
	return b.String()
}

func option(o Option) string {
	names := "\\fB\\-\\-" + escape(o.Long) + "\\fR"
	if o.Short != "" {
		names = "\\fB\\-" + escape(o.Short) + "\\fR, " + names
	}
	switch {
	case o.Optional:
		names += " [\\fI" + escape(o.Argument) + "\\fR]"
	case o.Argument != "":
		names += " \\fI" + escape(o.Argument) + "\\fR"
	}
	return ".TP\n" + names + "\n" + escape(o.Usage) + "\n"
}

// escape makes a line of text one of roff: no line begins a macro, hyphens can be copied.
func escape(line string) string {
	line = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(line)
	if strings.HasPrefix(line, ".") {
		line = `\&` + line
	}
	return line
}

func quote(text string) string { return `"` + strings.ReplaceAll(escape(text), `"`, `\(dq`) + `"` }

func lowerFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}
