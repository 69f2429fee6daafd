package timeline

import (
	"fmt"
	"html"
	"io"
	"strings"
	"time"
)

// Sizes of the picture, in pixels.
const (
	svgChart   = 1000 // width of the time axis
	svgLabel   = 190  // names of nodes
	svgTop     = 56
	svgTall    = 18 // height of a row, where there is room
	svgLow     = 3  // and at least
	svgRoom    = 1200
	svgLegend  = 16 // height of a line of the legend
	svgNamed   = 9  // rows lower than this bear no name
	svgPalette = 12
)

// palette has colours that are told apart with every kind of sight, light enough for black text.
var palette = [svgPalette]string{
	"#77aadd", "#ee8866", "#eedd88", "#ffaabb", "#99ddff", "#44bb99", "#bbcc33", "#aaaa00", "#c8a2d6", "#d4b483", "#88ccaa", "#b0b8c4",
}

func colour(step int) string { return palette[step%svgPalette] }

// WriteSVG draws the chart as a picture that stands alone: bars with tooltips,
// pale where a node waited for others, framed in black where the operation hung
// on the stay, ended by a red mark where it failed.
func (c *Chart) WriteSVG(w io.Writer, title string) error {
	var b strings.Builder
	tall := svgTall
	if n := len(c.Rows); n > 0 {
		tall = max(svgLow, min(svgTall, svgRoom/n))
	}
	held := c.Held()
	bottom := svgTop + len(c.Rows)*tall
	height := bottom + 30 + (len(c.Steps)+1)*svgLegend + (min(len(held), 8)+2)*svgLegend
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="11">`+"\n",
		svgLabel+svgChart+30, height)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	fmt.Fprintf(&b, `<text x="10" y="20" font-size="14">%s</text>`+"\n", html.EscapeString(title))
	c.svgAxis(&b, bottom)
	critical := c.criticalStarts()
	for i := range c.Rows {
		c.svgRow(&b, &c.Rows[i], svgTop+i*tall, tall, critical)
	}
	c.svgLegend(&b, bottom+30, held)
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// x is where a moment is.
func (c *Chart) x(t time.Time) float64 {
	total := max(c.End.Sub(c.Begin), 1)
	return svgLabel + float64(t.Sub(c.Begin))/float64(total)*svgChart
}

func (c *Chart) svgAxis(b *strings.Builder, bottom int) {
	for _, t := range ticks(c.End.Sub(c.Begin), 12) {
		x := c.x(c.Begin.Add(t))
		fmt.Fprintf(b, `<line x1="%.1f" y1="%d" x2="%.1[1]f" y2="%d" stroke="#ddd"/>`, x, svgTop-6, bottom+4)
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#555">%s</text>`+"\n", x, svgTop-12, seconds(t))
	}
}

type stay struct {
	node string
	at   time.Time
}

func (c *Chart) criticalStarts() map[stay]bool {
	all := make(map[stay]bool)
	for _, h := range c.Critical {
		all[stay{h.Node, h.From}] = true
	}
	return all
}

func (c *Chart) svgRow(b *strings.Builder, r *Row, y, tall int, critical map[stay]bool) {
	if tall >= svgNamed {
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", svgLabel-8, y+tall/2+4, html.EscapeString(cut(r.Node, 28)))
	}
	bar := max(tall-2, 2)
	for _, s := range r.Bars {
		step := &c.Steps[s.Step]
		if s.Start.Sub(s.Ready) > tick {
			fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s" fill-opacity="0.25"><title>%s</title></rect>`+"\n",
				c.x(s.Ready), y, max(0.3, c.x(s.Start)-c.x(s.Ready)), bar, colour(s.Step),
				html.EscapeString(fmt.Sprintf("%s: %.2f s waiting for others before %s", r.Node, s.Start.Sub(s.Ready).Seconds(), step.Name())))
		}
		if s.Begin.Sub(s.Start) > tick {
			fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s" fill-opacity="0.55"><title>%s</title></rect>`+"\n",
				c.x(s.Start), y+bar/4, max(0.3, c.x(s.Begin)-c.x(s.Start)), max(1, bar/2), colour(s.Step),
				html.EscapeString(fmt.Sprintf("%s: %.2f s queued in %s", r.Node, s.Begin.Sub(s.Start).Seconds(), step.Name())))
		}
		frame := ""
		if critical[stay{r.Node, s.Start}] {
			frame = ` stroke="#000" stroke-width="1"`
		}
		fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"%s><title>%s</title></rect>`+"\n",
			c.x(s.Begin), y, max(0.5, c.x(s.End)-c.x(s.Begin)), bar, colour(s.Step), frame, html.EscapeString(s.tooltip(r.Node, step)))
		if s.Error != "" {
			fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="3" height="%d" fill="#cc0000"><title>%s</title></rect>`+"\n",
				c.x(s.End)-3, y, bar, html.EscapeString(r.Node+": "+s.Error))
		}
	}
}

func (s *Bar) tooltip(node string, step *Step) string {
	text := fmt.Sprintf("%s: %s, %.2f s", node, step.Name(), s.End.Sub(s.Start).Seconds())
	if s.Attempt > 0 {
		text += fmt.Sprintf(", attempt %d", s.Attempt+1)
	}
	if s.Open {
		text += ", still running"
	}
	if s.Error != "" {
		text += ": " + s.Error
	}
	return text
}

func (c *Chart) svgLegend(b *strings.Builder, y int, held []Held) {
	for i := range c.Steps {
		s := &c.Steps[i]
		fmt.Fprintf(b, `<rect x="%d" y="%d" width="12" height="11" fill="%s"/>`, svgLabel, y, colour(i))
		fmt.Fprintf(b, `<text x="%d" y="%d">%s: median %.2f s, longest %.2f s (%s)</text>`+"\n", svgLabel+18, y+10,
			html.EscapeString(s.Name()), s.Median.Seconds(), s.Longest.Seconds(), html.EscapeString(s.Slowest))
		y += svgLegend
	}
	y += svgLegend
	fmt.Fprintf(b, `<text x="%d" y="%d">What its %.1f s hung on (framed in black), longest first; pale: waiting for others; thin: queued</text>`+"\n", svgLabel, y+10, c.End.Sub(c.Begin).Seconds())
	for i, h := range held {
		if i == 8 {
			break
		}
		y += svgLegend
		fmt.Fprintf(b, `<text x="%d" y="%d">%.1f s  %s  %s%s</text>`+"\n", svgLabel, y+10, h.Took.Seconds(),
			html.EscapeString(c.Steps[h.Step].Name()), html.EscapeString(h.Node), html.EscapeString(c.remark(h)))
	}
}
