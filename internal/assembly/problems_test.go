package assembly

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestShown(t *testing.T) {
	for want, value := range map[string]any{
		"nothing":                       nil,
		"an object":                     map[string]any{"a": 1},
		"a list of 2":                   []any{1, 2},
		"1.50":                          json.Number("1.50"),
		"AWS::NoValue":                  noValue{},
		"a value that is not known yet": unknown{},
		"true":                          true,
		`"` + strings.Repeat("é", shownLength) + `"`:    strings.Repeat("é", shownLength),
		`"` + strings.Repeat("é", shownLength) + `..."`: strings.Repeat("é", shownLength+1),
	} {
		assert.Equal(t, want, shown(value))
	}
}

func TestResource_problem(t *testing.T) {
	resource := &Resource{Stack: &Stack{ID: "Streaming"}, LogicalID: "Events"}
	assert.EqualError(t, resource.Problem("Properties.Name", "got %d", 1), "Streaming/Events Properties.Name: got 1")
	assert.EqualError(t, resource.Problem("", "whole"), "Streaming/Events: whole")
}
