package customresource

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type properties struct{ Size int }

// made is a resource that keeps what it was asked to make.
type made struct {
	Resource[properties]
	changes []Change[properties]
	data    map[string]string
	err     error
	logs    bytes.Buffer
}

func newMade() *made {
	m := &made{data: map[string]string{"Size": "1"}}
	m.Resource = Resource[properties]{ID: "the-thing", Logger: slog.New(slog.NewJSONHandler(&m.logs, nil)),
		Make: func(_ context.Context, change Change[properties]) (map[string]string, error) {
			m.changes = append(m.changes, change)
			return m.data, m.err
		}}
	return m
}

func (m *made) handle(t *testing.T, event string) (Answer, error) {
	t.Helper()
	return m.Handle(t.Context(), json.RawMessage(event))
}

func TestTheIdIsOursUntilItIsAnothers(t *testing.T) {
	for event, want := range map[string]string{
		`{"RequestType":"Create"}`:                                          "the-thing",
		`{"RequestType":"Update","PhysicalResourceId":"the-thing"}`:         "the-thing",
		`{"RequestType":"Update","PhysicalResourceId":"of-an-earlier-one"}`: "of-an-earlier-one",
		`{"RequestType":"Update"}`:                                          "the-thing",
		`{"RequestType":"Delete"}`:                                          "the-thing",
		// What CloudFormation and the framework make up for a Create that nobody answered.
		`{"RequestType":"Delete","PhysicalResourceId":"stack-Load-1ABCDEF"}`: "stack-Load-1ABCDEF",
		`{"RequestType":"Delete","PhysicalResourceId":"CDK::CREATE_FAILED"}`: "CDK::CREATE_FAILED",
	} {
		answer, err := newMade().handle(t, event)
		require.NoError(t, err, event)
		assert.Equal(t, want, answer.PhysicalResourceID, event)
	}
}

func TestADeleteReadsAndMakesNothing(t *testing.T) {
	m := newMade()
	answer, err := m.handle(t,
		`{"RequestType":"Delete","PhysicalResourceId":"x","ResourceProperties":{"Size":"wrong"}}`)
	require.NoError(t, err)
	assert.Equal(t, Answer{PhysicalResourceID: "x", Data: map[string]string{}}, answer)
	assert.Empty(t, m.changes)
}

func TestAChangeHasWhatWasBefore(t *testing.T) {
	m := newMade()
	for _, event := range []string{
		`{"RequestType":"Create","ResourceProperties":{"ServiceToken":"arn","Size":1}}`,
		`{"RequestType":"Update","ResourceProperties":{"Size":2},"OldResourceProperties":{"Size":1}}`,
		// The way back from an Update that failed for what it asked.
		`{"RequestType":"Update","ResourceProperties":{"Size":1},"OldResourceProperties":{"Size":{"no":"number"}}}`,
	} {
		_, err := m.handle(t, event)
		require.NoError(t, err, event)
	}
	assert.Equal(t, []Change[properties]{{Wanted: properties{1}},
		{Wanted: properties{2}, Update: true, Old: properties{1}},
		{Wanted: properties{1}, Update: true}}, m.changes)
}

func TestWhatCannotBeReadIsRefused(t *testing.T) {
	for event, message := range map[string]string{
		`[]`:                        "custom resource event",
		`{"RequestType":"Replace"}`: `RequestType is "Replace": Create, Update and Delete are allowed`,
		`{"RequestType":"Create","ResourceProperties":{"Size":"large"}}`: "the custom resource's properties",
	} {
		m := newMade()
		_, err := m.handle(t, event)
		require.ErrorContains(t, err, message)
		assert.Empty(t, m.changes)
	}
}

func TestAnswersFitIntoCloudFormations(t *testing.T) {
	for name, letter := range map[string]string{"letters": "x", "quotes": `"`, "controls": "\x01", "umlauts": "ü",
		"emoji": "🙂"} {
		t.Run(name, func(t *testing.T) {
			m := newMade()
			m.data = map[string]string{"Rows": "12", "Detail": strings.Repeat(letter, 5000),
				"Other": strings.Repeat(letter, 900)}
			answer, err := m.handle(t, `{"RequestType":"Create"}`)
			require.NoError(t, err)
			text, err := json.Marshal(answer.Data)
			require.NoError(t, err)
			assert.Less(t, len(text), maxData+100)
			assert.Equal(t, "12", answer.Data["Rows"])
			assert.Regexp(t, `.\.\.\..`, answer.Data["Detail"])

			m.err = errors.New("it failed: " + strings.Repeat(letter, 5000) + " for this cause")
			_, err = m.handle(t, `{"RequestType":"Create"}`)
			require.ErrorContains(t, err, "it failed: "+letter)
			require.ErrorContains(t, err, "...")
			require.ErrorContains(t, err, letter+" for this cause (the log has all of it)")
			text, errMarshal := json.Marshal(err.Error())
			require.NoError(t, errMarshal)
			assert.Less(t, len(text), maxText+100)
			assert.Greater(t, m.logs.Len(), 5000)
		})
	}
	m := newMade()
	m.err = errors.New("it failed")
	_, err := m.handle(t, `{"RequestType":"Create"}`)
	require.EqualError(t, err, "it failed")
	assert.Empty(t, m.logs.String())
}
