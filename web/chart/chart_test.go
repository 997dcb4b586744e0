package chart

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// elements of a drawing: their attributes and text, by name. It fails where the XML is broken.
func elements(t *testing.T, drawing string) map[string][]map[string]string {
	t.Helper()
	all := map[string][]map[string]string{}
	decoder := xml.NewDecoder(strings.NewReader(drawing))
	var open []map[string]string
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err, drawing)
		switch token := token.(type) {
		case xml.StartElement:
			element := map[string]string{}
			for _, attribute := range token.Attr {
				element[attribute.Name.Local] = attribute.Value
			}
			all[token.Name.Local] = append(all[token.Name.Local], element)
			open = append(open, element)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1]["text"] += string(token)
			}
		}
	}
}

func sample(values ...int64) Chart {
	c := Chart{ID: "id", Title: "Revenue", Description: "What it shows.",
		Axis: func(v int64) string { return fmt.Sprint(v) }}
	for i, value := range values {
		c.Marks = append(c.Marks, Mark{Label: fmt.Sprintf("L%d", i), Words: fmt.Sprintf("L%d is %d", i, value),
			Value: value, Shown: fmt.Sprint(value), Unusual: value == 7})
	}
	return c
}

func of(all []map[string]string, class string) (found []map[string]string) {
	for _, element := range all {
		if strings.Contains(" "+element["class"]+" ", " "+class+" ") {
			found = append(found, element)
		}
	}
	return found
}

func TestAChartHasNameDescriptionAndKeyboardReach(t *testing.T) {
	for name, drawing := range map[string]string{"columns": string(sample(1, 2).Columns(100)),
		"bars": string(sample(1, 2).Bars())} {
		all := elements(t, drawing)
		svg := all["svg"][0]
		assert.Equal(t, "chart "+name, svg["class"])
		assert.Equal(t, "img", svg["role"])
		assert.Equal(t, "0", svg["tabindex"])
		assert.Equal(t, svg["aria-labelledby"], all["title"][0]["id"])
		assert.Equal(t, "Revenue", all["title"][0]["text"])
		assert.Equal(t, svg["aria-describedby"], all["desc"][0]["id"])
		assert.Equal(t, "What it shows.", all["desc"][0]["text"])
		assert.NotContains(t, drawing, "style=")
		assert.Equal(t, "L1 is 2", all["title"][2]["text"], "a mark tells its value")
	}
}

func TestColumnsAreAsHighAsTheirValues(t *testing.T) {
	all := elements(t, string(sample(100, 50, 0, -5).Columns(100)))
	var heights []string
	for _, mark := range of(all["rect"], "mark") {
		heights = append(heights, mark["height"])
	}
	assert.Equal(t, []string{"100", "50", "0", "0"}, heights)
	var scale []string
	for _, tick := range all["text"] {
		if tick["x"] == "-8" {
			scale = append(scale, tick["text"])
		}
	}
	assert.Equal(t, []string{"0", "50", "100"}, scale)
}

// Columns share the width evenly, each in the middle of its own part, with room to the next.
func TestColumnsStandBesideEachOther(t *testing.T) {
	number := func(text string) float64 {
		value, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		require.NoError(t, err, text)
		return value
	}
	for _, count := range []int{1, 2, 7, 62, 400} {
		marks := of(elements(t, string(sample(make([]int64, count)...).Columns(100)))["rect"], "mark")
		require.Len(t, marks, count)
		slot := 100 / float64(count)
		for i, mark := range marks {
			left, width := number(mark["x"]), number(mark["width"])
			assert.InDelta(t, slot*(float64(i)+0.5), left+width/2, 0.02, "column %d of %d", i, count)
			assert.InDelta(t, 0.72*slot, width, 0.01, "column %d of %d", i, count)
		}
	}
}

func TestUnusualColumnsAreSetApartByMoreThanColour(t *testing.T) {
	all := elements(t, string(sample(3, 7, 5).Columns(100)))
	assert.Len(t, of(all["rect"], "unusual"), 1)
	assert.Len(t, of(all["circle"], "spot"), 1)
}

func TestLabelsUnderColumnsStayFew(t *testing.T) {
	for _, count := range []int{0, 1, 7, 8, 53, 62, 1000} {
		all := elements(t, string(sample(make([]int64, count)...).Columns(100)))
		labels := 0
		for _, tick := range of(all["text"], "tick") {
			if tick["x"] != "-8" {
				labels++
			}
		}
		assert.LessOrEqual(t, labels, mostLabels)
		assert.Equal(t, count > 0, labels > 0)
	}
}

func TestBarsAreAsLongAsTheirValues(t *testing.T) {
	all := elements(t, string(sample(200, 50, 0, -1).Bars()))
	var widths []string
	for _, mark := range of(all["rect"], "mark") {
		widths = append(widths, mark["width"])
	}
	assert.Equal(t, []string{"100%", "25%", "0%", "0%"}, widths)
}

func TestTextIsText(t *testing.T) {
	c := sample(1)
	c.Title, c.Marks[0].Label, c.Marks[0].Words, c.Marks[0].Shown = `<a"b`, `<i>&`, `"><script>`, `<b>`
	for _, drawing := range []string{string(c.Columns(10)), string(c.Bars())} {
		all := elements(t, drawing)
		assert.Equal(t, `<a"b`, all["title"][0]["text"])
		assert.Equal(t, `"><script>`, all["title"][1]["text"])
		assert.Empty(t, all["script"])
	}
}

func TestLongLabelsLeaveRoomForTheValue(t *testing.T) {
	assert.Equal(t, "1957 Chevy Pickup", shorten("1957 Chevy Pickup"))
	assert.Equal(t, longestLabel, len([]rune(shorten(strings.Repeat("é", 70)))))
}

func TestTheScaleHasRoundSteps(t *testing.T) {
	for _, c := range []struct{ value, steps, want int64 }{{0, 4, 1}, {4, 4, 1}, {5, 4, 2}, {7, 1, 10}, {9, 2, 5},
		{1_000_001, 4, 500_000}, {100, 2, 50}} {
		assert.Equal(t, c.want, niceStep(c.value, c.steps), "%d in %d", c.value, c.steps)
	}
}
