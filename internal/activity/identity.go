package activity

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"diecast/internal/strictjson"
)

// MaxClockLead is how far an event's own time may lie after its arrival. Later counts as arrival:
// the store of recommendations never goes back in event time, so one bad clock would pin a
// customer's row for ever.
const MaxClockLead = 5 * time.Minute

// ReportedTimeField holds, in a record, an event_time that Identify did not believe.
const ReportedTimeField = "event_time_reported"

// Namespace is the UUID namespace (RFC 9562, section 5.5) of the identities that FromStream and
// FromErrorOutput derive. It never changes: the same record must get the same identity for ever.
var Namespace = uuid.MustParse("1a7ad36a-6763-4608-9c7f-014231043a8c")

// Origin is where and when an event entered the platform: the source of an identity and a time for
// an event that brings none.
type Origin struct {
	id      uuid.UUID
	arrived time.Time
}

// Place is where an event lies in a Kinesis stream.
type Place struct {
	// Stream is the stream's name, Shard a shard's id: neither can hold a slash.
	Stream, Shard string
	// SequenceNumber is that of the Kinesis record, in decimal digits.
	SequenceNumber string
	// Subsequence is the event's number within an aggregated record, from 0; 0 also where the
	// record is no aggregate.
	Subsequence uint64
}

// FromStream is the origin of an event read from a Kinesis stream. Its identity is the UUIDv5, in
// Namespace, of the UTF-8 text
//
//	<stream name>/<shard id>/<sequence number>
//
// such as activity/shardId-000000000000/49590338271490256608559692538361571095921575989136588898,
// followed by a full stop and the subsequence number where that is above 0: the first event of an
// aggregate has the identity that it would have alone. arrived is the record's approximate arrival
// time, which counts to the millisecond: what Kinesis and Firehose report for one record is the
// same only to there.
func FromStream(place Place, arrived time.Time) Origin {
	name := place.Stream + "/" + place.Shard + "/" + place.SequenceNumber
	if place.Subsequence > 0 {
		name += "." + strconv.FormatUint(place.Subsequence, 10)
	}
	return origin(name, arrived)
}

// FromErrorOutput is the origin of a payload found in Firehose's error output, which tells neither
// shard nor sequence number. Its identity is the UUIDv5, in Namespace, of the UTF-8 text
//
//	<stream name>/<sha256 of the payload, in lower-case hexadecimal>/<arrival, ms since 1970>
//
// It differs from the identity that FromStream gives the same record, so an event without event_id
// that was delivered before it failed elsewhere can appear twice in the archive; such duplicates
// are counted.
func FromErrorOutput(stream string, payload []byte, arrived time.Time) Origin {
	sum := sha256.Sum256(payload)
	millisecond := strconv.FormatInt(arrived.Round(time.Millisecond).UnixMilli(), 10)
	return origin(stream+"/"+hex.EncodeToString(sum[:])+"/"+millisecond, arrived)
}

// Received is the origin of an event that is taken from the shop itself, before it is on a stream:
// its identity is id. Later origins leave both alone.
func Received(id uuid.UUID, arrived time.Time) Origin {
	return Origin{id: id, arrived: arrived.Round(time.Millisecond).UTC()}
}

func origin(name string, arrived time.Time) Origin {
	return Origin{id: uuid.NewSHA1(Namespace, []byte(name)), arrived: arrived.Round(time.Millisecond).UTC()}
}

// Identify gives the event its identity and time, the same for every consumer: its own where it
// brings them and its clock is believable (MaxClockLead), its origin's where not. A time that is
// not believed stays in the record as event_time_reported. What Fields and Encode write afterwards
// brings its identity and time along, so that putting it back on a stream keeps both.
func (e Event) Identify(from Origin) Event {
	e.original = slices.Clone(e.original)
	if e.ID == uuid.Nil {
		e.ID = from.id
		e.set("event_id", strictjson.String(e.ID.String()))
	}
	switch {
	case e.Time.IsZero():
		e.Time = from.arrived
	case e.Time.Sub(from.arrived) > MaxClockLead:
		e.set(ReportedTimeField, e.get("event_time"))
		e.Time = from.arrived
	default:
		return e
	}
	e.set("event_time", strictjson.String(e.Time.Format("2006-01-02T15:04:05.000Z")))
	return e
}

func (e *Event) get(name string) []byte {
	for _, member := range e.original {
		if member.Name == name {
			return member.Value
		}
	}
	return nil
}

func (e *Event) set(name string, value []byte) {
	for i, member := range e.original {
		if member.Name == name {
			e.original[i].Value = value
			return
		}
	}
	e.original = append(e.original, strictjson.Member{Name: name, Value: value})
}

// identityFields are what Identify writes.
var identityFields = []string{"event_id", "event_time", ReportedTimeField}

// identityBytes is what the identity takes of the event as it is written, with names and commas. A
// value that is longer than any that Identify writes does not count.
func (e Event) identityBytes() (bytes int) {
	const longest = len(`"2026-03-01T09:30:00.123456789123456789+01:00"`)
	for _, member := range e.original {
		if slices.Contains(identityFields, member.Name) && len(member.Value) <= longest {
			bytes += len(`"":,`) + len(member.Name) + len(member.Value)
		}
	}
	return bytes
}
