// Package aggregationtest makes aggregates for tests, as the Kinesis Producer Library does.
package aggregationtest

import (
	"crypto/md5" // #nosec G501 -- the format's checksum, no protection

	"google.golang.org/protobuf/encoding/protowire"
)

// Aggregate is one Kinesis record that holds the payloads, each under the one partition key.
func Aggregate(partitionKey string, payloads ...[]byte) []byte {
	message := protowire.AppendTag(nil, 1, protowire.BytesType)
	message = protowire.AppendString(message, partitionKey)
	for _, payload := range payloads {
		record := protowire.AppendTag(nil, 1, protowire.VarintType)
		record = protowire.AppendVarint(record, 0)
		record = protowire.AppendTag(record, 3, protowire.BytesType)
		record = protowire.AppendBytes(record, payload)
		message = protowire.AppendTag(message, 3, protowire.BytesType)
		message = protowire.AppendBytes(message, record)
	}
	return Seal(message)
}

// Seal puts a message between the format's magic number and its digest, whatever the message holds.
func Seal(message []byte) []byte {
	sum := md5.Sum(message) // #nosec G401 -- see above
	sealed := append([]byte{0xf3, 0x89, 0x9a, 0xc2}, message...)
	return append(sealed, sum[:]...)
}
