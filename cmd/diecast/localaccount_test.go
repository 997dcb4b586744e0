package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/ledger"
	"diecast/internal/local/runfolder"
)

func sampleAccount() ledger.Account {
	archive := ledger.Consumer{Name: "Streaming/Archive", Kind: "delivery stream", Stream: "activity", Accepted: 98,
		Split: 2, Archived: 80, Dropped: 1, InError: map[string]int{"Lambda.InvokeLimitExceeded": 4, "Lambda.Other": 5}}
	deliver := ledger.Consumer{Name: "Streaming/Deliver", Kind: "event source mapping", Stream: "activity",
		Accepted: 98, Delivered: 90, Dropped: 3, Discarded: map[string]int{"RecordAgeExceeded": 5}, Repeated: 7}
	archive.Weigh()
	deliver.Weigh()
	return ledger.Account{At: time.Now(), Consumers: []ledger.Consumer{archive, deliver}, Engines: []ledger.Engine{
		{Name: "moto", Memory: 100 << 20, Limit: 1000 << 20}, {Name: "kinesalite", Memory: 900 << 20,
			Limit: 1000 << 20},
	}}
}

func TestAnAccountForPeople(t *testing.T) {
	account := sampleAccount()
	var out bytes.Buffer
	require.NoError(t, showAccount(&out, account))
	assert.Equal(t, `
  records of          accepted   archived  delivered    dropped  discarded   in error   given up    pending
  Streaming/Archive        100         80          0          1          0          9          0         10
  Streaming/Deliver         98          0         90          3          5          0          0          0
  Streaming/Archive: 4 in error for Lambda.InvokeLimitExceeded
  Streaming/Archive: 5 in error for Lambda.Other
  Streaming/Archive: 2 of the accepted came in aggregates with others
  Streaming/Deliver: 5 discarded for RecordAgeExceeded
  Streaming/Deliver: its function was asked again 7 times, and may count what it dropped as often
  moto takes 100 MiB of memory; from 1000 MiB on it refuses to store more
  kinesalite takes 900 MiB of memory; from 1000 MiB on it refuses to store more: start the run anew before
  it adds up; what is pending is in the stream or under way
`, "\n"+out.String())

	out.Reset()
	account.Closed = true
	account.Consumers[1].Delivered++
	require.NoError(t, showAccount(&out, account))
	assert.Contains(t, out.String(),
		"  does not add up: Streaming/Archive: 10 records were still in the stream or under "+
			"way at the end\n  does not add up: Streaming/Deliver: 98 records went in, and 99 are accounted for\n")
	assert.NotContains(t, out.String(), "it adds up")

	out.Reset()
	account.Consumers = account.Consumers[:1]
	account.Consumers[0].Archived = 90
	account.Consumers[0].Weigh()
	require.NoError(t, showAccount(&out, account))
	assert.Contains(t, out.String(), "  all records are accounted for\n")
	out.Reset()
	require.NoError(t, showAccount(&out, ledger.Account{}))
	assert.Empty(t, out.String(), "a run without consumers has none to tell of")
}

// status reads the account of another process's run; one that is not fresh says so.
func TestLocalStatus_account(t *testing.T) {
	t.Chdir(t.TempDir())
	folder, err := runfolder.Open(".local/mine")
	require.NoError(t, err)
	account := sampleAccount()
	require.NoError(t, account.Write(folder.Path))
	_, out, _ := local(t, "status")
	assert.Contains(t, out, "Streaming/Deliver         98          0         90")
	assert.NotContains(t, out, " ago: ")
	account.At = time.Now().Add(-time.Minute)
	require.NoError(t, account.Write(folder.Path))
	_, out, _ = local(t, "status")
	assert.Contains(t, out, "  as of 1m0s ago: the run has told nothing since\n")

	account.Consumers[1].Delivered++
	require.NoError(t, account.Write(folder.Path))
	_, out, _ = local(t, "status", "--json")
	var all []struct {
		Account struct {
			Problems  []string
			Consumers []map[string]any
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 1)
	assert.Equal(t, []string{"Streaming/Deliver: 98 records went in, and 99 are accounted for"},
		all[0].Account.Problems)
	for _, place := range []string{"accepted", "archived", "delivered", "dropped", "discarded", "in_error", "given_up",
		"pending"} {
		assert.Contains(t, all[0].Account.Consumers[0], place)
	}

	require.NoError(t, folder.Close())
	_, out, _ = local(t, "status")
	assert.Equal(t, "mine: down\n", out, "a killed run's account tells nothing any more")
}
