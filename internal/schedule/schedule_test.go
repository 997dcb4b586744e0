package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const day = 24 * time.Hour

func TestParse(t *testing.T) {
	for text, want := range map[string][2]time.Duration{
		"rate(1 minute)":              {time.Minute, time.Minute},
		"rate(90 minutes)":            {90 * time.Minute, 90 * time.Minute},
		"rate(1 day)":                 {day, day},
		"rate(12 hours)":              {12 * time.Hour, 12 * time.Hour},
		"cron(0 3 * * ? *)":           {day, day},
		"cron(0 0,6 * * ? *)":         {6 * time.Hour, 18 * time.Hour},
		"cron(30 */8 * * ? *)":        {8 * time.Hour, 8 * time.Hour},
		"cron(0 3 ? * MON-FRI *)":     {day, 3 * day},
		"cron(0 3 ? * 2-6 *)":         {day, 3 * day},
		"cron(0 3 ? * sun *)":         {7 * day, 7 * day},
		"cron(0 3 1 * ? *)":           {28 * day, 31 * day},
		"cron(0 3 1/10 * ? *)":        {day, 10 * day}, // the 31st and the 1st
		"cron(0 3 29 FEB ? *)":        {1461 * day, 1461 * day},
		"cron(0/20 0-1,22 * * ? *)":   {20 * time.Minute, 20*time.Hour + 20*time.Minute},
		"cron(15 10 ? 1-6/5 WED *)":   {7 * day, 196 * day},
		"cron(0 3 1,2,3 JAN,JUL ? *)": {day, 182 * day},
	} {
		t.Run(text, func(t *testing.T) {
			read, err := Parse(text)
			require.NoError(t, err)
			assert.Equal(t, want, [2]time.Duration{read.Shortest(), read.Longest()})
		})
	}
}

func TestParse_namesEveryProblem(t *testing.T) {
	for text, want := range map[string][]string{
		"":                          {"neither rate"},
		"daily":                     {"neither rate"},
		"rate(0 days)":              {"neither rate"},
		"rate(1 days)":              {"without s"},
		"rate(2 day)":               {"without s"},
		"rate(1 week)":              {"neither rate"},
		"at(2026-01-01T00:00:00)":   {"neither rate"},
		"cron(0 3 * * ?)":           {"6 fields", "not 5"},
		"cron(0 3 * * * *)":         {"one of day of month and day of week is ?"},
		"cron(0 3 ? * ? *)":         {"one of day of month and day of week is ?"},
		"cron(60 24 * * ? *)":       {`minute "60"`, `hour "24"`},
		"cron(0 3 L * ? *)":         {`"L"`},
		"cron(0 3 ? * MON#1 *)":     {`"MON#1"`},
		"cron(0 3 15W * ? *)":       {`"15W"`},
		"cron(0 3 * * ? 2027)":      {"would end"},
		"cron(0 3 30 FEB ? *)":      {"no day"},
		"cron(0 5-3 * * ? *)":       {"ends before it begins"},
		"cron(0/0 3 * * ? *)":       {"the step"},
		"cron(? 3 * * ? *)":         {"takes no ?"},
		"cron(0 3 ? * MON-FRI-2 *)": {`"FRI-2"`},
		"cron(0 3 * * ? *) ":        {"neither rate"},
	} {
		t.Run(text, func(t *testing.T) {
			_, err := Parse(text)
			for _, part := range want {
				assert.ErrorContains(t, err, part)
			}
		})
	}
}
