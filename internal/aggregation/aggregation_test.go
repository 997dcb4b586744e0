package aggregation_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"diecast/internal/aggregation"
	"diecast/internal/aggregation/aggregationtest"
)

// message is a Protocol Buffers message from its fields.
func message(fields ...[]byte) []byte {
	var whole []byte
	for _, field := range fields {
		whole = append(whole, field...)
	}
	return whole
}

func text(number protowire.Number, value string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), value)
}

func whole(number protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), value)
}

func record(fields ...[]byte) []byte { return text(3, string(message(fields...))) }

func TestSplitGivesTheUserRecordsInTheirOrder(t *testing.T) {
	split, err := aggregation.Split(aggregationtest.Seal(message(
		text(1, "first"), text(1, "second"), text(2, "340282366920938463463374607431768211455"),
		record(whole(1, 1), whole(2, 0), text(3, "a"), text(4, "\n\x01k\x12\x01v")),
		record(whole(1, 0), text(3, "")),
		record(text(3, "c"), whole(1, 1)),
	)))
	require.NoError(t, err)
	assert.Equal(t, []aggregation.Record{
		{PartitionKey: "second", Data: []byte("a")}, {PartitionKey: "first", Data: []byte{}},
		{PartitionKey: "second", Data: []byte("c")},
	}, split)
}

// The bytes are written out by hand from the format's description: a check on the tests' own maker.
func TestSplitReadsAnAggregateByteForByte(t *testing.T) {
	const sealed = "84mawgoBcBoHCAAaA3t9ChoICAAaBFsxXQpEylS1vSy8CcFbiiqjF+XM"
	data, err := base64.StdEncoding.DecodeString(sealed)
	require.NoError(t, err)
	assert.Equal(t, data, aggregationtest.Aggregate("p", []byte("{}\n"), []byte("[1]\n")))
	split, err := aggregation.Split(data)
	require.NoError(t, err)
	assert.Equal(t, []aggregation.Record{
		{PartitionKey: "p", Data: []byte("{}\n")}, {PartitionKey: "p", Data: []byte("[1]\n")},
	}, split)
}

func TestFieldsThatTheFormatDoesNotKnowDoNoHarm(t *testing.T) {
	split, err := aggregation.Split(aggregationtest.Seal(message(
		whole(9, 7), record(whole(1, 0), text(3, "a"), text(12, "later")), text(1, "the table may follow"),
	)))
	require.NoError(t, err)
	assert.Equal(t, []aggregation.Record{{PartitionKey: "the table may follow", Data: []byte("a")}}, split)
}

func TestBrokenAggregatesAreRefusedWhole(t *testing.T) {
	sound := aggregationtest.Aggregate("secret", []byte("secret"), []byte("b"))
	changed := append([]byte{}, sound...)
	changed[8] ^= 1
	key, good := text(1, "secret"), record(whole(1, 0), text(3, "secret"))
	const overflow = "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
	beyond := func(index uint64) []byte { return record(whole(1, index), text(3, "b")) }
	sealed := func(fields ...[]byte) []byte { return aggregationtest.Seal(message(fields...)) }
	for name, test := range map[string]struct {
		data    []byte
		message string
	}{
		"nothing":                    {nil, "does not begin as an aggregate"},
		"JSON":                       {[]byte(`{}`), "does not begin as an aggregate"},
		"the magic number alone":     {sound[:4], "truncated"},
		"no room for the digest":     {sound[:19], "truncated"},
		"truncated":                  {sound[:len(sound)-1], "digest differs"},
		"changed":                    {changed, "digest differs"},
		"nothing between":            {sealed(), "no record"},
		"no record":                  {sealed(key), "no record"},
		"a partition key beyond":     {sealed(key, good, beyond(1)), "record 1 names partition key 1 of 1"},
		"a partition key far beyond": {sealed(key, good, beyond(1<<63)), "partition key 9223372036854775808 of 1"},
		"no table":                   {sealed(good), "partition key 0 of 0"},
		"no partition key":           {sealed(key, good, record(text(3, "b"))), "record 1 has no partition key"},
		"an explicit hash key beyond": {sealed(key, record(whole(1, 0), whole(2, 0), text(3, "b"))),
			"explicit hash key 0 of 0"},
		"no data":                        {sealed(key, good, record(whole(1, 0))), "record 1 has no data"},
		"data of another type":           {sealed(key, record(whole(1, 0), whole(3, 5))), "field 3 has wire type 0"},
		"an index of another type":       {sealed(key, record(text(1, "0"), text(3, "b"))), "field 1 has wire type 2"},
		"records of another type":        {sealed(key, good, whole(3, 1)), "field 3 has wire type 0"},
		"a length beyond the end":        {sealed(key, []byte{0x1a, 0x7f, 0x08}), "field 3: unexpected EOF"},
		"a length that overflows":        {sealed(key, []byte(overflow)), "field 3: unexpected EOF"},
		"a group without an end":         {sealed(key, []byte{0x4b}), "field 9: unexpected EOF"},
		"a field number of 0":            {sealed(key, []byte{0x00}), "invalid field number"},
		"a record's end within a number": {sealed(key, text(3, "\x08\xff")), "record 0: field 1: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			split, err := aggregation.Split(test.data)
			require.ErrorContains(t, err, test.message)
			assert.Empty(t, split)
			assert.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestIsTellsByTheMagicNumberAlone(t *testing.T) {
	sound := aggregationtest.Aggregate("p", []byte("{}"))
	assert.True(t, aggregation.Is(sound))
	assert.True(t, aggregation.Is(sound[:4]))
	assert.False(t, aggregation.Is(sound[:3]))
	assert.False(t, aggregation.Is([]byte(`{}`)))
}

// FuzzSplit seals what it is given as well, or no mutation would come past the digest.
func FuzzSplit(f *testing.F) {
	sound := aggregationtest.Aggregate("p", []byte(`{"a":1}`), nil, []byte("b"))
	f.Add(sound)
	f.Add(sound[4 : len(sound)-16])
	f.Add(message(text(1, "p"), record(whole(1, 1<<63), text(3, "b"))))
	f.Add(message(text(1, "p"), text(2, "0"), record(whole(1, 0), whole(2, 0), text(3, "b"), text(4, "x"))))
	f.Add([]byte{0x0b, 0x13, 0x14, 0x0c})
	f.Add([]byte("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, input := range [][]byte{data, aggregationtest.Seal(data)} {
			split, err := aggregation.Split(input)
			require.Equal(t, err != nil, len(split) == 0, "refused whole or not at all")
			if err != nil {
				continue
			}
			total := 0
			var payloads [][]byte
			for _, record := range split {
				total += len(record.Data)
				payloads = append(payloads, record.Data)
			}
			require.Less(t, total, len(input), "nothing is made up")
			again, err := aggregation.Split(aggregationtest.Aggregate("p", payloads...))
			require.NoError(t, err)
			require.Len(t, again, len(split))
			for i := range split {
				require.Equal(t, fmt.Sprintf("%x", split[i].Data), fmt.Sprintf("%x", again[i].Data))
			}
		}
	})
}
