// Package chart draws small charts as SVG for a page of HTML. What it draws takes all its looks
// from the page's style sheet by class, so that a strict content security policy and dark mode hold
// for it, and grows with the page in width while its text keeps its size: positions across are in
// per cent, heights in pixels. It knows nothing of what is charted.
//
// Every chart has a name and a description, can be reached by keyboard, and tells each mark's value
// where it is pointed at. The table of its values is the page's part.
//
// Classes: chart with columns or bars, grid, tick, minor (may be left out where there is little
// room), mark, unusual, spot, track, label, value.
package chart

import (
	"fmt"
	"html"
	"html/template"
	"strconv"
	"strings"
)

// Mark is one value of a chart.
type Mark struct {
	// Label names it: under a column where there is room, above a bar.
	Label string
	// Words tell all of it.
	Words string
	Value int64
	// Shown is the value as text; of bars.
	Shown string
	// Unusual marks are set apart by colour and by a spot.
	Unusual bool
}

// Chart to draw.
type Chart struct {
	// ID is unique in its page, a letter and then letters, digits and hyphens.
	ID string
	// Title names the chart, Description says in a sentence what it shows.
	Title, Description string
	Marks              []Mark
	// Axis words a value of the scale; of columns.
	Axis func(int64) string
}

// Sizes in pixels.
const (
	columnsTop    = 22 // above the highest column, for the scale's uppermost word and a spot
	columnsBottom = 24 // below the columns, for their labels
	spotRadius    = 4
	barStep       = 42 // from one bar to the next
	barThickness  = 10
	// longestLabel leaves room for the value beside it on a telephone.
	longestLabel = 30
	// mostLabels under columns, of which every second is minor.
	mostLabels = 7
	// gridDistance is the least between two lines of the scale.
	gridDistance = 40
)

// Columns draws values in their order, such as the course of time, above a common ground. Values
// below zero stand as zero. Height is that of the scale in pixels. The scale's words stand left of
// the drawing, where the style sheet leaves room for them.
func (c Chart) Columns(height int) template.HTML {
	var w writer
	w.open(c, "columns", columnsTop+height+columnsBottom)
	highest := int64(0)
	for _, mark := range c.Marks {
		highest = max(highest, mark.Value)
	}
	step := niceStep(highest, int64(max(height/gridDistance, 1)))
	top := max((highest+step-1)/step, 1) * step
	ground := columnsTop + height
	y := func(value int64) float64 { return float64(ground) - float64(height)*float64(value)/float64(top) }
	for value := int64(0); value <= top; value += step {
		at := pixels(y(value))
		w.put(`<line class="grid" x1="0" x2="100%%" y1="%s" y2="%s"/>`, at, at)
		w.put(`<text class="tick" x="-8" y="%s" text-anchor="end">%s</text>`, pixels(y(value)+4),
			html.EscapeString(c.Axis(value)))
	}
	slot := 100 / float64(max(len(c.Marks), 1))
	every := (len(c.Marks) + mostLabels - 1) / mostLabels
	for i, mark := range c.Marks {
		value := max(mark.Value, 0)
		left, centre := slot*(float64(i)+0.14), slot*(float64(i)+0.5)
		class := "mark"
		if mark.Unusual {
			class += " unusual"
		}
		from := y(value)
		w.put(`<rect class="%s" x="%s%%" y="%s" width="%s%%" height="%s" rx="2"><title>%s</title></rect>`, class,
			percent(left), pixels(from), percent(slot*0.72), pixels(float64(ground)-from),
			html.EscapeString(mark.Words))
		if mark.Unusual {
			w.put(`<circle class="spot" cx="%s%%" cy="%s" r="%d"/>`, percent(centre), pixels(from-9), spotRadius)
		}
		if every > 0 && i%every == 0 {
			class, anchor, at := "tick", "middle", centre
			if i/every%2 == 1 {
				class += " minor"
			}
			if centre > 93 { // at the right edge it stays within; left of the drawing there is room
				anchor, at = "end", 100
			}
			w.put(`<text class="%s" x="%s%%" y="%d" text-anchor="%s">%s</text>`, class, percent(at), ground+17, anchor,
				html.EscapeString(mark.Label))
		}
	}
	return w.close()
}

// Bars draws values one below the other, each with its label and its value in words. The longest
// takes the whole width; values below zero stand as zero.
func (c Chart) Bars() template.HTML {
	var w writer
	w.open(c, "bars", max(len(c.Marks), 1)*barStep)
	highest := int64(1)
	for _, mark := range c.Marks {
		highest = max(highest, mark.Value)
	}
	for i, mark := range c.Marks {
		top := i * barStep
		w.put(`<g><title>%s</title>`, html.EscapeString(mark.Words))
		w.put(`<text class="label" x="0" y="%d">%s</text>`, top+15, html.EscapeString(shorten(mark.Label)))
		w.put(`<text class="value" x="100%%" y="%d" text-anchor="end">%s</text>`, top+15, html.EscapeString(mark.Shown))
		w.put(`<rect class="track" x="0" y="%d" width="100%%" height="%d" rx="5"/>`, top+22, barThickness)
		w.put(`<rect class="mark" x="0" y="%d" width="%s%%" height="%d" rx="5"/></g>`, top+22,
			percent(100*float64(max(mark.Value, 0))/float64(highest)), barThickness)
	}
	return w.close()
}

type writer struct{ strings.Builder }

func (w *writer) put(format string, arguments ...any) { fmt.Fprintf(w, format, arguments...) }

func (w *writer) open(c Chart, kind string, height int) {
	id := html.EscapeString(c.ID)
	w.put(`<svg class="chart %s" role="img" tabindex="0" width="100%%" height="%d" aria-labelledby="%s-name"`+
		` aria-describedby="%s-description">`, kind, height, id, id)
	w.put(`<title id="%s-name">%s</title><desc id="%s-description">%s</desc>`, id, html.EscapeString(c.Title), id,
		html.EscapeString(c.Description))
}

func (w *writer) close() template.HTML {
	w.WriteString("</svg>")
	return template.HTML(w.String()) // every text in it was escaped
}

// niceStep is 1, 2 or 5 times a power of ten, such that a number of steps at most reaches a value.
func niceStep(value, steps int64) int64 {
	step := int64(1)
	for {
		for _, factor := range []int64{1, 2, 5} {
			if step*factor >= (value+steps-1)/steps {
				return step * factor
			}
		}
		step *= 10
	}
}

func shorten(label string) string {
	if letters := []rune(label); len(letters) > longestLabel {
		return strings.TrimSpace(string(letters[:longestLabel-1])) + "…"
	}
	return label
}

func percent(value float64) string { return decimal(value, 2) }
func pixels(value float64) string  { return decimal(value, 1) }

// decimal is a number without the zeros that say nothing.
func decimal(value float64, digits int) string {
	text := strconv.FormatFloat(value, 'f', digits, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
