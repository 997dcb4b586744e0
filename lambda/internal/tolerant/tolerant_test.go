package tolerant_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/lambda/internal/tolerant"
)

type record struct {
	ID    string `json:"id"`
	Inner struct {
		Data  []byte         `json:"data"`
		Count int64          `json:"count"`
		Whole tolerant.Whole `json:"whole"`
	} `json:"inner"`
}

func TestOneOddValueLeavesItsNeighboursAlone(t *testing.T) {
	const good = `{"id":"good","inner":{"data":"aGk=","count":3,"whole":"4"}}`
	for name, odd := range map[string]string{
		"null":                   `null`,
		"a number":               `5`,
		"a text":                 `"secret"`,
		"a list":                 `[{}]`,
		"an id that is a number": `{"id":5}`,
		"no base64":              `{"id":"odd","inner":{"data":"secret","count":3}}`,
		"data that is a list":    `{"id":"odd","inner":{"data":["secret"]}}`,
		"a part that is a text":  `{"id":"odd","inner":"secret"}`,
		"a count that is a text": `{"id":"odd","inner":{"count":"secret"}}`,
		"a count that overflows": `{"id":"odd","inner":{"count":1e300}}`,
		"a fraction":             `{"id":"odd","inner":{"count":1.5}}`,
		"a negative whole":       `{"id":"odd","inner":{"whole":-1}}`,
		"digits with zeros":      `{"id":"odd","inner":{"whole":"007"}}`,
		"a list as a whole":      `{"id":"odd","inner":{"whole":[1]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			var batch []tolerant.Value[record]
			require.NoError(t, json.Unmarshal([]byte(`[`+good+`,`+odd+`,`+good+`]`), &batch))
			require.Len(t, batch, 3)
			for _, neighbour := range []tolerant.Value[record]{batch[0], batch[2]} {
				require.NoError(t, neighbour.Err)
				assert.Equal(t, "good", neighbour.Read.ID)
				assert.Equal(t, []byte("hi"), neighbour.Read.Inner.Data)
				assert.EqualValues(t, 4, neighbour.Read.Inner.Whole)
			}
			if name == "null" { // nothing is wrong with it and nothing is in it
				assert.Zero(t, batch[1])
				return
			}
			require.Error(t, batch[1].Err)
			assert.NotContains(t, batch[1].Err.Error(), "secret")
		})
	}
}

func TestFieldsBesideAnOddOneAreRead(t *testing.T) {
	var value tolerant.Value[record]
	require.NoError(t, json.Unmarshal([]byte(`{"inner":{"count":"x","data":"aGk="},"id":"after it"}`), &value))
	require.ErrorContains(t, value.Err, `"inner.count"`)
	assert.Equal(t, "after it", value.Read.ID)
	assert.Equal(t, []byte("hi"), value.Read.Inner.Data)
}

func TestWholeNumbersComeInSeveralSpellings(t *testing.T) {
	for text, want := range map[string]tolerant.Whole{
		`0`: 0, `7`: 7, `"7"`: 7, `""`: 0, `null`: 0, `18446744073709551615`: 1<<64 - 1,
	} {
		var whole tolerant.Whole
		require.NoError(t, json.Unmarshal([]byte(text), &whole), text)
		assert.Equal(t, want, whole, text)
	}
	for _, text := range []string{`-1`, `1.0`, `1e3`, `" 7"`, `"+7"`, `"07"`, `true`, `{}`, `18446744073709551616`} {
		var whole tolerant.Whole
		require.Error(t, json.Unmarshal([]byte(text), &whole), text)
	}
}

func TestATextThatIsNoneIsEmpty(t *testing.T) {
	for text, want := range map[string]tolerant.Text{
		`"a\u00e9"`: "aé", `""`: "", `null`: "", `5`: "", `{"a":"b"}`: "", `["a"]`: "", `true`: "",
	} {
		var read struct {
			First tolerant.Text `json:"first"`
			Next  int           `json:"next"`
		}
		require.NoError(t, json.Unmarshal([]byte(`{"first":`+text+`,"next":7}`), &read), text)
		assert.Equal(t, want, read.First, text)
		assert.Equal(t, 7, read.Next, "what follows is read")
	}
}

func TestAValueWithinAValueLeavesWhatFollowsAlone(t *testing.T) {
	var read tolerant.Value[struct {
		Whole tolerant.Value[tolerant.Whole] `json:"whole"`
		ID    string                         `json:"id"`
	}]
	require.NoError(t, json.Unmarshal([]byte(`{"whole":"many","id":"kept"}`), &read))
	require.NoError(t, read.Err)
	require.Error(t, read.Read.Whole.Err)
	assert.NotContains(t, read.Read.Whole.Err.Error(), "many")
	assert.Equal(t, "kept", read.Read.ID)
}
