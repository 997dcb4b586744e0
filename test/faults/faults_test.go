package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/archive"
	"diecast/internal/local/server/servertest"
	"diecast/internal/recommendation"
	"diecast/internal/recommendation/row"
	"diecast/test/accept"
	"diecast/test/prebuilt"
)

const root = "../.."

// ready are settings with everything built. The seed is drawn anew each time, and told where the
// test fails.
func ready(t *testing.T) settings {
	t.Helper()
	servertest.Needed(t, "a run of the platform")
	assembly, err := prebuilt.Write(root, t.TempDir())
	require.NoError(t, err)
	command, err := prebuilt.Command(root, t.TempDir())
	require.NoError(t, err)
	// The databases' own users find their way into it, which they do not into a test's folder.
	folder, err := os.MkdirTemp("", "diecast-faults-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
	s := settings{command: command, assembly: assembly, source: root, folder: folder,
		seed: uint64(time.Now().UnixNano()) % 1_000_000, told: func(string) {}}
	require.NoError(t, s.absolute())
	require.NoError(t, s.build(t.Context()), "functions and servers, which a machine may compile for the first time")
	t.Logf("seed %d: make faults ONLY=nemesis SEED=%[1]d draws the same", s.seed)
	return s
}

// A load is sent through a run while what the seed draws goes wrong; every event comes to its
// place. Then a loss, a double, a corruption and a row that goes back are made in the same run's
// own bucket and table: the account that has just been in order finds each.
func TestNemesis(t *testing.T) {
	settings := ready(t)
	b := &bench{settings: settings}
	t.Cleanup(func() { require.NoError(t, b.close(context.Background())) })
	// What must hold under load, at a small size: one start of the platform is for all.
	for _, proof := range loads(small) {
		held := proof.tried(t.Context(), b)
		require.NoError(t, held.err, "%s: %s", proof.name, held.account)
		t.Logf("%s, %.1f s: %s", proof.name, held.took.Seconds(), held.account)
	}
	held := nemesis(nemesisEvents).tried(t.Context(), b)
	require.NoError(t, held.err, held.account)
	t.Log(held.account)

	r, err := b.run(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.ledger.Account().Err())
	lines := archived(t, r)
	older := overtaken(t, lines)
	for name, plant := range map[string]func() error{
		"doubled: ": func() error { return r.putObject(t.Context(), lines[0]) },
		"corrupted: event ": func() error {
			return r.putObject(t.Context(), bytes.Replace(lines[1], []byte(`"city":"`), []byte(`"city":"x`), 1))
		},
		"went back: ": func() error {
			_, err := r.to.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &r.to.Table,
				Item: row.Item(older, time.Hour)})
			return err
		},
	} {
		require.False(t, told(r, name))
		require.NoError(t, plant())
		require.NoError(t, r.look(t.Context()))
		assert.True(t, told(r, name), "%s%v", name, r.ledger.Account().Err())
	}
	lost := r.startLoad(t.Context(), b.chance.Uint64(), 1)
	<-lost.done // and nobody waits until it has come to its place
	require.NoError(t, r.readStream(t.Context()))
	assert.Positive(t, r.ledger.Account().Pending)
}

// archived are the lines of the archive.
func archived(t *testing.T, r *run) (lines [][]byte) {
	t.Helper()
	require.NoError(t, r.readBucket(t.Context(), func(ctx context.Context, key string) error {
		content, err := r.object(ctx, key)
		if strings.HasPrefix(key, archive.Recommendations) {
			lines = append(lines, bytes.SplitAfter(bytes.TrimSuffix(content, []byte("\n")), []byte("\n"))...)
		}
		return err
	}))
	return lines
}

// overtaken is a record whose session has a newer one.
func overtaken(t *testing.T, lines [][]byte) recommendation.Record {
	t.Helper()
	sessions := map[string]recommendation.Record{}
	for _, line := range lines {
		record, err := recommendation.Decode(line)
		require.NoError(t, err)
		if before, ok := sessions[record.Event.SessionID]; ok && before.Event.Time.Before(record.Event.Time) {
			return before
		}
		sessions[record.Event.SessionID] = record
	}
	require.Fail(t, "no session has two events")
	return recommendation.Record{}
}

// told says whether the account finds a breach that begins so.
func told(r *run, beginning string) bool {
	return slices.ContainsFunc(r.ledger.Account().Breaches, func(breach string) bool {
		return strings.HasPrefix(breach, beginning)
	})
}

func TestEachFaultHasOneName(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range slices.Concat(table(), loads(full)) {
		assert.False(t, seen[f.name], "%s is there twice", f.name)
		seen[f.name] = true
		assert.NotEmpty(t, f.does, f.name)
		assert.NotEmpty(t, f.must, f.name)
		assert.Positive(t, f.within, f.name)
	}
	assert.Greater(t, len(seen), 30)
}

func TestFaultsAreDocumented(t *testing.T) {
	accept.Region(t, root+"/docs/local.md", "faults", markdown(table()))
}

// What does not hold is told with what must, and ends the command with an error; what holds does
// not.
func TestWhatDoesNotHoldIsTold(t *testing.T) {
	s := settings{folder: t.TempDir(), seed: 5}
	var out bytes.Buffer
	good := fault{name: "good", must: "hold", within: time.Minute,
		try: func(context.Context, *bench) (string, error) { return "all is well", nil }}
	require.NoError(t, prove(t.Context(), s, []fault{good}, &out, os.Stderr))
	assert.Regexp(t, `good +yes +0 s  all is well\n1 of 1 faults held`, out.String())

	// What is not tried any more counts as what does not hold.
	out.Reset()
	over, end := context.WithCancel(t.Context())
	last := good
	last.try = func(context.Context, *bench) (string, error) { end(); return "", nil }
	require.ErrorContains(t, prove(over, s, []fault{last, good}, &out, os.Stderr), "1 of 2 faults did not hold")
	assert.Contains(t, out.String(), "1 of 2 faults held")

	out.Reset()
	bad := fault{name: "bad", must: "hold", within: time.Minute,
		try: func(context.Context, *bench) (string, error) { return "", fmt.Errorf("it broke") }}
	late := fault{name: "late", must: "end", within: 100 * time.Millisecond,
		try: func(ctx context.Context, _ *bench) (string, error) { return "", pass(ctx, time.Minute) }}
	err := prove(t.Context(), s, []fault{bad, good, late}, &out, os.Stderr)
	require.EqualError(t, err, "2 of 3 faults did not hold; again with SEED=5")
	assert.Regexp(t, `bad +NO .*\n +must: hold\n +not: it broke\ngood +yes`, out.String())
	assert.Regexp(t, `late +NO .*\n +must: end\n +not: 0 s are over`, out.String())
}

func TestAFaultDrawsWhatItsSeedAndItsNameSay(t *testing.T) {
	draw := func(seed uint64, name string) (drawn []int) {
		b := &bench{settings: settings{seed: seed}}
		b.draw(name)
		for range 20 {
			drawn = append(drawn, b.chance.IntN(1000))
		}
		return drawn
	}
	assert.Equal(t, draw(1, "nemesis"), draw(1, "nemesis"))
	assert.NotEqual(t, draw(1, "nemesis"), draw(2, "nemesis"))
	assert.NotEqual(t, draw(1, "nemesis"), draw(1, "other"))
}

func TestARecordOfTwoModelsIsRefused(t *testing.T) {
	models, err := newCatalogue()
	require.NoError(t, err)
	require.NotEqual(t, models.shipped.version, models.other.version)
	for _, version := range []string{models.shipped.version, models.other.version} {
		of, foreign := models.shipped, models.other
		if version == models.other.version {
			of, foreign = foreign, of
		}
		sound := recordOf(of)
		require.NoError(t, models.check(sound))
		mixed := sound
		mixed.Items = recordOf(foreign).Items
		require.ErrorContains(t, models.check(mixed), "it mixes models")
		mixed = sound
		mixed.Similar = recordOf(foreign).Similar
		require.ErrorContains(t, models.check(mixed), "it mixes models")
		mixed = sound
		mixed.ModelVersion = "0123456789ab"
		require.ErrorContains(t, models.check(mixed), "no model has the version")
	}
}

// recordOf is one that a model may have answered.
func recordOf(of model) recommendation.Record {
	ids := slices.Sorted(maps.Keys(of.vectors))
	one, other := ids[0], ids[len(ids)-1]
	distance, _ := of.distance(one, other)
	return recommendation.Record{ModelVersion: of.version, Items: []recommendation.Item{{ID: other}},
		Similar: []recommendation.Similar{{ProductCode: one,
			Items: []recommendation.Neighbour{{ID: other, Distance: distance}}}}}
}

// Tests that failed, did not run or are not there prove nothing.
func TestProofByOtherTestsIsCounted(t *testing.T) {
	account, err := counted("=== RUN TestA\n    a_test.go:1: account: 7 events\n--- PASS: TestA (0.1s)\n"+
		"    --- PASS: TestA/b (0.1s)\n    --- PASS: TestA/c (0.1s)\nok\n", nil, "internal/a", "^TestA")
	require.NoError(t, err)
	assert.Equal(t, "2 cases of 1 tests in internal/a: 7 events", account)

	_, err = counted("--- FAIL: TestA (0.1s)\n    --- FAIL: TestA/b (0.1s)\n    --- PASS: TestA/c (0.1s)\nFAIL\n",
		fmt.Errorf("exit status 1"), "internal/a", "^TestA")
	require.ErrorContains(t, err, "internal/a: TestA (0.1s), TestA/b (0.1s)")
	_, err = counted("testing: warning: no tests to run\nok\n", nil, "internal/a", "^TestA")
	require.ErrorContains(t, err, "internal/a has no test like ^TestA")
	_, err = counted("cannot compile\n", fmt.Errorf("exit status 1"), "internal/a", "^TestA")
	require.ErrorContains(t, err, "cannot compile")
}
