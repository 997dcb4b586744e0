package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
	"diecast/internal/local/demonstration"
)

// taker is a stream that takes what it is given, from the second attempt on where it is slow.
type taker struct {
	slow bool

	mutex sync.Mutex
	tried map[string]int
	held  []string
}

// outputsFile is that of a run whose stream it is.
func (k *taker) outputsFile(t *testing.T, file string) {
	t.Helper()
	k.tried = map[string]int{}
	server := httptest.NewServer(k)
	t.Cleanup(server.Close)
	data, err := outputs.File{
		Stacks: map[string]map[string]string{outputs.Streaming.Name("shop"): {
			outputs.StreamName.Name: "activity", outputs.RecommendationsBucketName.Name: "bucket",
			outputs.RecommendationsTableName.Name: "table",
		}},
		Endpoints: outputs.Endpoints{
			outputs.EndpointOf("Kinesis"): server.URL, outputs.AccessKeyID: "k", outputs.SecretAccessKey: "s",
			outputs.Region: "r",
		},
	}.Encode()
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, data, 0o600))
}

func (k *taker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mutex.Lock()
	defer k.mutex.Unlock()
	var request struct {
		StreamName string
		Records    []struct {
			Data         []byte
			PartitionKey string
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&request)
	var results []string
	for _, record := range request.Records {
		if k.tried[string(record.Data)]++; k.slow && k.tried[string(record.Data)] == 1 {
			results = append(results, `{"ErrorCode":"ProvisionedThroughputExceededException","ErrorMessage":"slow"}`)
			continue
		}
		k.held = append(k.held, record.PartitionKey+" "+string(record.Data))
		results = append(results, fmt.Sprintf(`{"SequenceNumber":"%d","ShardId":"s"}`, len(k.held)))
	}
	_, _ = fmt.Fprintf(w, `{"Records":[%s]}`, strings.Join(results, ","))
}

func produced(t *testing.T, arguments ...string) (code int, out, err string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"produce"}, arguments...), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestProduceAccountsForGeneratedEvents(t *testing.T) {
	t.Chdir(t.TempDir())
	k := &taker{slow: true}
	k.outputsFile(t, "outputs.json")
	code, out, told := produced(t, "--rate", "500", "--duration", "400ms", "--broken", "0.5", "--json")
	require.Zero(t, code, told)
	var summary productionSummary
	require.NoError(t, json.Unmarshal([]byte(out), &summary))
	assert.Equal(t, 200, summary.Due)
	assert.Equal(t, []int{summary.Due, 0, 0}, []int{summary.Taken, summary.Unsent, len(summary.GivenUp)})
	assert.InDelta(t, summary.Due, summary.Refused["ProvisionedThroughputExceededException"], 20,
		"broken events may be alike")
	assert.Len(t, k.held, summary.Due)
	broken := 0
	for _, count := range summary.Broken {
		broken += count
	}
	assert.InDelta(t, 100, broken, 40)
	assert.Equal(t, "platform shop on this machine, run of outputs.json\ngenerated events to stream activity, 500 a "+
		"second, steady, for 400ms\n", told, "the target first, and no progress in a pipe")

	for events, arguments := range map[string][]string{"30": {"--events", "30"},
		"20": {"--events", "900", "--duration", "40ms"}, "7": {"--events", "7", "--profile", "spike"}} {
		_, out, told = produced(t, append(arguments, "--rate", "500")...)
		assert.Regexp(t, "^Due +"+events+" ", out, "%v: %s", arguments, told)
	}

	code, out, _ = produced(t, "--rate", "500", "--duration", "100ms", "--seed", "9")
	require.Zero(t, code)
	assert.Regexp(t, `(?m)^Due +50 +$`, out)
	assert.Regexp(t, `(?m)^Put again +50 +after ProvisionedThroughputExceededException$`, out)
}

const shopEvent = `{"session_id":"s%d", "customer_number":103,"city":"Nantes","country":"France","credit_limit":21000}`

func TestProduceSendsAShopsOwnEventsAsTheyAre(t *testing.T) {
	t.Chdir(t.TempDir())
	k := &taker{}
	k.outputsFile(t, filepath.Join(".local", "mine", "outputs.json"))
	lines := fmt.Sprintf(shopEvent+"\n"+shopEvent+"\n\n"+shopEvent, 1, 2, 1)
	require.NoError(t, os.WriteFile("shop.jsonl", []byte(lines), 0o600))
	// A run that is not up is refused: its file of outputs lies in a folder of its own here.
	code, out, told := produced(t, "--outputs", filepath.Join(".local", "mine", "outputs.json"), "--file", "shop.jsonl",
		"--rate", "1000")
	require.Zero(t, code, told)
	assert.Regexp(t, `^Due +3 `, out)
	assert.Equal(t, []string{"s1 " + fmt.Sprintf(shopEvent, 1), "s2 " + fmt.Sprintf(shopEvent, 2),
		"s1 " + fmt.Sprintf(shopEvent, 1)}, k.held)
}

func TestProduceNamesEachViolationAndSendsNothing(t *testing.T) {
	t.Chdir(t.TempDir())
	k := &taker{}
	k.outputsFile(t, "outputs.json")
	lines := fmt.Sprintf(shopEvent+"\n"+`{"session_id":"","credit_limit":-1}`+"\n{\n"+shopEvent, 1, 2)
	require.NoError(t, os.WriteFile("shop.jsonl", []byte(lines), 0o600))
	wanted := []string{
		`shop.jsonl: line 2: session_id: got "", want a string of 1 to 128 characters (this one has 0)`,
		`shop.jsonl: line 2: customer_number: got nothing, want a whole number from 0 to 2147483647`,
		`shop.jsonl: line 2: city: got nothing, want a string of 0 to 100 characters`,
		`shop.jsonl: line 2: country: got nothing, want a string of 0 to 100 characters`,
		`shop.jsonl: line 2: credit_limit: got -1, want a number from 0 to 1e+09`,
		`shop.jsonl: line 3: document: got an unfinished value, want one JSON value in UTF-8 without doubled names`,
	}
	code, out, told := produced(t, "--check", "shop.jsonl")
	assert.Equal(t, 1, code)
	assert.Equal(t, strings.Join(wanted, "\n")+"\nshop.jsonl: 2 events keep the contract, 2 break it\n", out)
	assert.Equal(t, "diecast produce: 2 of 4 lines of shop.jsonl break the contract\n", told)

	code, out, _ = produced(t, "--check", "shop.jsonl", "--json")
	assert.Equal(t, 1, code)
	var summary checkSummary
	require.NoError(t, json.Unmarshal([]byte(out), &summary))
	assert.Len(t, summary.Problems, len(wanted))
	assert.Equal(t, checkProblem{2, "credit_limit", "-1", "a number from 0 to 1e+09"}, summary.Problems[4])

	code, out, told = produced(t, "--file", "shop.jsonl")
	assert.Equal(t, 1, code)
	assert.Empty(t, out)
	for _, line := range wanted {
		assert.Contains(t, told, line)
	}
	assert.Empty(t, k.held, "nothing was sent")

	require.NoError(t, os.WriteFile("shop.jsonl", []byte(fmt.Sprintf(shopEvent, 1)), 0o600))
	code, out, _ = produced(t, "--check", "shop.jsonl")
	assert.Zero(t, code)
	assert.Equal(t, "shop.jsonl: 1 events keep the contract, 0 break it\n", out)
}

func TestProduceRefusesWhatCannotBeMeant(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("empty.jsonl", []byte("\n\n"), 0o600))
	for want, arguments := range map[string][]string{
		`--rate "x" is not a number|--profile "odd" is unknown|--duration is 0s|--events is -1|--compress is for`: {
			"--rate", "x", "--profile", "odd", "--duration", "0s", "--compress", "2", "--events", "-1"},
		"--rate is 0|broken share 2|sessions 50001|--compress is 0.5": {"--rate", "0", "--broken", "2", "--sessions",
			"50001", "--profile", "spike", "--compress", "0.5"},
		"--broken is for generated events|--seed is for generated": {"--file", "f", "--broken", "0.1", "--seed", "2"},
		"--rate has no meaning with --check":                       {"--check", "f", "--rate", "2"},
		"empty.jsonl has no event":                                 {"--check", "empty.jsonl"},
		"open gone.jsonl":                                          {"--file", "gone.jsonl"},
		"--file is empty":                                          {"--file", ""},
		"there is no file of outputs outputs.json":                 {},
	} {
		code, out, told := produced(t, arguments...)
		assert.Equal(t, 1, code, arguments)
		assert.Empty(t, out)
		for part := range strings.SplitSeq(want, "|") {
			assert.Contains(t, told, part)
		}
	}
}

func TestProducePlotsASpike(t *testing.T) {
	code, out, _ := produced(t, "--plot", "--profile", "spike", "--rate", "10", "--compress", "3600")
	require.Zero(t, code)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 2+plotRows)
	assert.Equal(t, "1,387 events in 54s; the shop's time runs 3600 times faster", lines[1+plotRows])
	bars := make([]int, plotRows)
	for n := range bars {
		bars[n] = strings.Count(lines[1+n], "#")
	}
	assert.Equal(t, 8, bars[0])
	assert.Greater(t, bars[3], 35, "the top is there within hours")
	assert.InDelta(t, 12, bars[plotRows-1], 1, "two days later it is nearly over")
}

func TestAnInterruptedProductionTellsItsAccount(t *testing.T) {
	t.Chdir(t.TempDir())
	(&taker{}).outputsFile(t, "outputs.json")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var out, told bytes.Buffer
	assert.Zero(t, run(ctx, []string{"produce", "--rate", "100", "--duration", "1h"}, &out, &told), told.String())
	assert.Contains(t, out.String(), "Interrupted")
	assert.Regexp(t, `(?m)^  taken by the stream +[1-9]`, out.String())
}

func TestFlowIsPlottedWithinItsLines(t *testing.T) {
	var out strings.Builder
	require.NoError(t, showFlow(&out, []demonstration.Second{
		{In: 10, P99: 300 * time.Millisecond}, {In: 40, Lag: 2 * time.Second, P99: 3 * time.Second}, {In: 0},
	}))
	assert.Equal(t, `Second  lag  p99    events/s in
  0     0s   300ms  10  ##########
  1     2s   3s     40  ########################################
  2     0s   0s     0   

`, out.String())
	out.Reset()
	require.NoError(t, showFlow(&out, make([]demonstration.Second, 100)))
	assert.Equal(t, 20+2, strings.Count(out.String(), "\n"), "five seconds a line")
}
