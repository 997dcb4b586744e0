// Package aggregation reads the records that the Kinesis Producer Library, the Kinesis Agent and
// their kin put on a stream: several user records in one, to save requests.
//
// Firehose splits such aggregates before its processor sees them, an event source mapping hands
// them over whole: this is the one decoder for whoever stands in for either. It must not know what
// the user records mean, or how they travel.
//
// Contract: "KPL Aggregated Record Format",
// https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md
package aggregation

import (
	"bytes"
	"crypto/md5" // #nosec G501 -- the format's checksum, no protection
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// magic begins every aggregate, and a digest of what lies between ends it. No JSON text can begin
// so.
var magic = []byte{0xf3, 0x89, 0x9a, 0xc2}

// The fields of the format's messages.
const (
	partitionKeys    = 1 // AggregatedRecord: repeated string partition_key_table
	explicitHashKeys = 2 // AggregatedRecord: repeated string explicit_hash_key_table
	records          = 3 // AggregatedRecord: repeated Record records

	partitionKeyIndex    = 1 // Record: required uint64, an index of partition_key_table
	explicitHashKeyIndex = 2 // Record: optional uint64, an index of explicit_hash_key_table
	recordData           = 3 // Record: required bytes
)

// Record is one user record of an aggregate. Its place in the aggregate, from 0, is its subsequence
// number.
type Record struct {
	PartitionKey string
	// Data is a part of the aggregate's own bytes.
	Data []byte
}

// Is says whether data begins as an aggregate does, sound or not.
func Is(data []byte) bool { return bytes.HasPrefix(data, magic) }

// Split gives the user records of an aggregate in their order. An aggregate that breaks the format
// anywhere is refused whole, because nothing tells which of its records are whole; so is one
// without a record. The error repeats none of its values.
//
// A user record is never split again: an aggregate within an aggregate stays what it is.
func Split(data []byte) ([]Record, error) {
	if !Is(data) {
		return nil, errors.New("it does not begin as an aggregate")
	}
	body := data[len(magic):]
	if len(body) < md5.Size {
		return nil, fmt.Errorf("%d bytes are too few for an aggregate: it is truncated", len(data))
	}
	body, digest := body[:len(body)-md5.Size], body[len(body)-md5.Size:]
	if sum := md5.Sum(body); !bytes.Equal(sum[:], digest) { // #nosec G401 -- see above
		return nil, errors.New("its MD5 digest differs: it was truncated or changed on its way")
	}
	split, err := readAggregate(body)
	if err != nil {
		return nil, fmt.Errorf("it breaks the format of the Kinesis Producer Library: %w", err)
	}
	return split, nil
}

// userRecord is a Record of the format before its indices are looked up.
type userRecord struct {
	partitionKey, explicitHashKey *uint64
	data                          []byte
	hasData                       bool
}

func readAggregate(body []byte) ([]Record, error) {
	var keys []string
	var hashKeys uint64
	var users []userRecord
	err := fields(body, func(number protowire.Number, value []byte, _ uint64) error {
		switch number {
		case partitionKeys:
			keys = append(keys, string(value))
		case explicitHashKeys:
			hashKeys++
		case records:
			user, err := readUserRecord(value)
			if err != nil {
				return fmt.Errorf("record %d: %w", len(users), err)
			}
			users = append(users, user)
		}
		return nil
	}, map[protowire.Number]protowire.Type{
		partitionKeys: protowire.BytesType, explicitHashKeys: protowire.BytesType, records: protowire.BytesType,
	})
	if err != nil {
		return nil, err
	}
	if len(users) == 0 {
		return nil, errors.New("it holds no record")
	}
	// The tables may follow the records.
	split := make([]Record, len(users))
	for i, user := range users {
		switch {
		case user.partitionKey == nil:
			return nil, fmt.Errorf("record %d has no partition key", i)
		case *user.partitionKey >= uint64(len(keys)):
			return nil, fmt.Errorf("record %d names partition key %d of %d", i, *user.partitionKey, len(keys))
		case user.explicitHashKey != nil && *user.explicitHashKey >= hashKeys:
			return nil, fmt.Errorf("record %d names explicit hash key %d of %d", i, *user.explicitHashKey, hashKeys)
		case !user.hasData:
			return nil, fmt.Errorf("record %d has no data", i)
		}
		split[i] = Record{PartitionKey: keys[*user.partitionKey], Data: user.data}
	}
	return split, nil
}

func readUserRecord(message []byte) (userRecord, error) {
	var user userRecord
	err := fields(message, func(number protowire.Number, value []byte, varint uint64) error {
		switch number {
		case partitionKeyIndex:
			user.partitionKey = &varint
		case explicitHashKeyIndex:
			user.explicitHashKey = &varint
		case recordData:
			user.data, user.hasData = value, true
		}
		return nil
	}, map[protowire.Number]protowire.Type{
		partitionKeyIndex: protowire.VarintType, explicitHashKeyIndex: protowire.VarintType,
		recordData: protowire.BytesType,
	})
	return user, err
}

// fields visits the fields of a message that are known, in their order, and passes over the others,
// as every reader of Protocol Buffers must. A known field of another wire type is a mistake.
func fields(message []byte, visit func(number protowire.Number, value []byte, varint uint64) error,
	known map[protowire.Number]protowire.Type) error {
	for len(message) > 0 {
		number, kind, length := protowire.ConsumeTag(message)
		if length < 0 {
			return fmt.Errorf("a field's tag: %w", protowire.ParseError(length))
		}
		message = message[length:]
		want, isKnown := known[number]
		if isKnown && kind != want {
			return fmt.Errorf("field %d has wire type %d, want %d", number, kind, want)
		}
		var value []byte
		var varint uint64
		switch {
		case !isKnown:
			length = protowire.ConsumeFieldValue(number, kind, message)
		case want == protowire.VarintType:
			varint, length = protowire.ConsumeVarint(message)
		default:
			value, length = protowire.ConsumeBytes(message)
		}
		if length < 0 {
			return fmt.Errorf("field %d: %w", number, protowire.ParseError(length))
		}
		message = message[length:]
		if err := visit(number, value, varint); err != nil {
			return err
		}
	}
	return nil
}
