package ledger

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func sample() Consumer {
	c := Consumer{Name: "Streaming/Archive", Kind: "delivery stream", Stream: "activity", Accepted: 100, Split: 5,
		Archived: 50, Delivered: 10, Dropped: 5, Discarded: map[string]int{"RecordAgeExceeded": 4},
		InError: map[string]int{"a": 3, "b": 2}, GivenUp: 0}
	c.Weigh()
	return c
}

func TestAnAccountAddsUpOrSaysThatItDoesNot(t *testing.T) {
	c := sample()
	assert.Equal(t, 74, c.Settled())
	assert.Equal(t, 31, c.Pending)
	a := Account{Consumers: []Consumer{c}}
	assert.Empty(t, a.Problems())
	a.Closed = true
	assert.Equal(t, []string{"Streaming/Archive: 31 records were still in the stream or under way at the end"},
		a.Problems())

	c.Archived += 40
	a.Consumers[0] = c
	assert.Equal(t, []string{"Streaming/Archive: 105 records went in, and 145 are accounted for"}, a.Problems())
	c.Weigh()
	a.Consumers[0] = c
	assert.Equal(t, []string{"Streaming/Archive: 9 more records came out than went in"}, a.Problems())

	c.Archived, c.GivenUp = 50, 31
	c.Weigh()
	a.Consumers[0], a.Unknown = c, []string{"no answer"}
	assert.Equal(t, []string{"no answer", "Streaming/Archive: 31 records are lost: what should have kept them could " +
		"not be written to"}, a.Problems())
}

func TestAnAccountIsReadAsItWasWritten(t *testing.T) {
	folder := t.TempDir()
	none, err := Read(folder)
	require.NoError(t, err)
	assert.Nil(t, none)
	written := Account{At: time.Unix(1, 0).UTC(), Consumers: []Consumer{sample()},
		Engines: []Engine{{Name: "kinesalite", Memory: 1, Limit: 2}}}
	for range 2 {
		require.NoError(t, written.Write(folder))
	}
	read, err := Read(folder)
	require.NoError(t, err)
	assert.Equal(t, &written, read)
	info, err := os.Stat(filepath.Join(folder, File))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing else is left")

	require.NoError(t, os.WriteFile(filepath.Join(folder, File), []byte("{"), 0o600))
	_, err = Read(folder)
	require.ErrorContains(t, err, File)
	require.Error(t, written.Write(filepath.Join(folder, "nowhere")))
}

func TestAnEngineIsNearItsLimitBeforeItReachesIt(t *testing.T) {
	assert.False(t, Engine{Memory: 74, Limit: 100}.Nearly())
	assert.True(t, Engine{Memory: 76, Limit: 100}.Nearly())
}

// A machine reads an account: what nothing is in is empty, and not null.
func TestAnAccountHasNoNulls(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, Account{}.Write(folder))
	text, err := os.ReadFile(filepath.Join(folder, File))
	require.NoError(t, err)
	assert.NotContains(t, string(text), "null")
	require.NoError(t, Account{Consumers: []Consumer{{Name: "a"}}, Engines: []Engine{}}.Write(folder))
	text, err = os.ReadFile(filepath.Join(folder, File))
	require.NoError(t, err)
	assert.Contains(t, string(text), `"discarded":{},"in_error":{}`)
	assert.NotContains(t, string(text), "null")
}
