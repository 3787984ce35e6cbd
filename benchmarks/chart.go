package main

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// chart is bars, or curves over time.
type chart struct {
	Title  string
	Unit   string // of values
	Bad    bool   // its values are to be 0
	Across string // unit of a curve's way
	Bars   []bar
	Curves []curve
}

type bar struct {
	label string
	value float64
}

type curve struct {
	name   string
	points []point
}

type point struct{ x, y float64 }

// Sizes in the units of a picture.
const (
	barWidth, barStep, barLeft, barRight = 640, 24, 210, 70
	curveWidth, curveHeight              = 320, 200
	curveLeft, curveRight                = 52, 12
	curveTop, curveBottom                = 22, 38
)

// svg draws c. Its colours are classes of the page.
func (c chart) svg() template.HTML {
	if len(c.Bars) > 0 {
		return c.barPicture()
	}
	return c.curvePicture()
}

func (c chart) max() float64 {
	most := 0.0
	for _, b := range c.Bars {
		most = max(most, b.value)
	}
	for _, v := range c.Curves {
		for _, p := range v.points {
			most = max(most, p.y)
		}
	}
	return most
}

// picture is an SVG that grows.
type picture struct{ strings.Builder }

func (p *picture) add(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *picture) text(class string, x, y float64, text string) {
	p.add(`<text class="%s" x="%.1f" y="%.1f">%s</text>`, class, x, y, template.HTMLEscapeString(text))
}

func (p *picture) begin(title string, width, height float64) {
	p.add(`<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">`, width, height, template.HTMLEscapeString(title))
}

// html is what was drawn. All that came from outside was escaped by text and
// begin.
func (p *picture) html() template.HTML {
	p.add(`</svg>`)
	return template.HTML(p.String())
}

func (c chart) barPicture() template.HTML {
	var p picture
	height := float64(len(c.Bars)*barStep + 36)
	p.begin(c.Title, barWidth, height)
	ticks := ticksUpTo(c.max())
	top := ticks[len(ticks)-1]
	x := func(v float64) float64 { return barLeft + v/top*(barWidth-barLeft-barRight) }
	foot := float64(len(c.Bars) * barStep)
	for _, t := range ticks {
		p.add(`<line class="grid" x1="%.1f" y1="0" x2="%.1f" y2="%.1f"/>`, x(t), x(t), foot)
		p.text("tick middle", x(t), foot+14, tickText(t))
	}
	p.text("unit middle", x(top/2), foot+30, c.Unit)
	for i, b := range c.Bars {
		y := float64(i * barStep)
		p.text("label end", barLeft-8, y+16, b.label)
		p.add(`<rect class="%s" x="%d" y="%.1f" width="%.1f" height="%d" rx="2"/>`, c.class(), barLeft, y+4, max(x(b.value)-barLeft, 1), barStep-8)
		p.text("value", x(b.value)+6, y+16, c.value(b.value))
	}
	return p.html()
}

func (c chart) curvePicture() template.HTML {
	var p picture
	p.begin(c.Title, curveWidth, curveHeight)
	across := 0.0
	for _, v := range c.Curves {
		for _, at := range v.points {
			across = max(across, at.x)
		}
	}
	ups, alongs := ticksUpTo(c.max()), ticksUpTo(across)
	top, end := ups[len(ups)-1], max(across, 1e-9)
	x := func(v float64) float64 { return curveLeft + v/end*(curveWidth-curveLeft-curveRight) }
	y := func(v float64) float64 {
		return curveHeight - curveBottom - v/top*(curveHeight-curveTop-curveBottom)
	}
	for _, t := range ups {
		p.add(`<line class="grid" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`, curveLeft, y(t), curveWidth-curveRight, y(t))
		p.text("tick end", curveLeft-6, y(t)+4, tickText(t))
	}
	for _, t := range alongs {
		if t <= end {
			p.text("tick middle", x(t), y(0)+14, tickText(t))
		}
	}
	p.text("unit", 4, 12, c.Unit)
	p.text("unit middle", x(end/2), curveHeight-6, c.Across)
	for i, v := range c.Curves {
		c.curve(&p, i, v, x, y)
	}
	return p.html()
}

// curve draws one, and its name at the top.
func (c chart) curve(p *picture, i int, v curve, x, y func(float64) float64) {
	var points strings.Builder
	for _, at := range v.points {
		fmt.Fprintf(&points, "%.1f,%.1f ", x(at.x), y(at.y))
		p.add(`<circle class="dot c%d" cx="%.1f" cy="%.1f" r="2"/>`, i, x(at.x), y(at.y))
	}
	p.add(`<polyline class="curve c%d" points="%s"/>`, i, points.String())
	left := float64(curveWidth - curveRight - 46*(len(c.Curves)-i))
	p.add(`<line class="curve c%d" x1="%.1f" y1="8" x2="%.1f" y2="8"/>`, i, left, left+14)
	p.text("tick", left+18, 12, v.name)
}

// ticksUpTo are round numbers from 0 to at least v.
func ticksUpTo(v float64) []float64 {
	if v <= 0 {
		return []float64{0, 1}
	}
	step := math.Pow(10, math.Floor(math.Log10(v/4)))
	for _, f := range []float64{1, 2, 2.5, 5, 10} {
		if f*step*4 >= v*0.999 {
			step *= f
			break
		}
	}
	var out []float64
	for i := 0; ; i++ {
		out = append(out, float64(i)*step)
		if out[i] >= v*0.999 {
			return out
		}
	}
}

func tickText(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", round(v/1e6))
	case v >= 1e3:
		return fmt.Sprintf("%gk", round(v/1e3))
	}
	return fmt.Sprintf("%g", round(v))
}

func round(v float64) float64 { return math.Round(v*1e4) / 1e4 }

func (c chart) value(v float64) string {
	if v == 0 || c.Bad {
		return fmt.Sprintf("%.0f", v)
	}
	return figure(v)
}

func (c chart) class() string {
	if c.Bad {
		return "bar fault"
	}
	return "bar"
}
