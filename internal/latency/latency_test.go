package latency

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"diecast/test/accept"
)

func TestTheStagesKeepThePromises(t *testing.T) {
	standard := Sum(func(s Stage) time.Duration { return s.Standard })
	fanOut := Sum(func(s Stage) time.Duration { return s.FanOut })
	laptop := Sum(func(s Stage) time.Duration { return s.Laptop })
	assert.LessOrEqual(t, standard, OnAWS)
	assert.Less(t, fanOut, standard)
	assert.LessOrEqual(t, laptop, OnLaptop)
}

func TestTheBudgetIsDocumented(t *testing.T) {
	table := []string{"| Stage | AWS | with fan-out | laptop | What it is |", "| --- | --- | --- | --- | --- |"}
	row := func(name string, standard, fanOut, laptop time.Duration, what string) {
		table = append(table, fmt.Sprintf("| %s | %d ms | %d ms | %d ms | %s |", name, standard.Milliseconds(),
			fanOut.Milliseconds(), laptop.Milliseconds(), what))
	}
	for _, stage := range Stages {
		row(stage.Name, stage.Standard, stage.FanOut, stage.Laptop, stage.What)
	}
	row("in all", Sum(func(s Stage) time.Duration { return s.Standard }),
		Sum(func(s Stage) time.Duration { return s.FanOut }), Sum(func(s Stage) time.Duration { return s.Laptop }),
		fmt.Sprintf("promised are %s on AWS and %s on the laptop", OnAWS, OnLaptop))
	accept.Region(t, "../../docs/latency.md", "budget", strings.Join(table, "\n"))
}
