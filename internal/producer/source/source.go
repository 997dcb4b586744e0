// Package source gives a producer its events: those of a generated shop, or those that a shop has
// recorded. It knows what they come from, not where they go.
package source

import (
	"fmt"
	"io"
	"iter"
	"time"

	"diecast/internal/classicmodels"
	"diecast/internal/producer"
	"diecast/internal/recorded"
)

// Generated are the events of a generated shop, without end. Each has the time at which it is due
// for its own, whatever the options' Clock. Made is told of each; nil: nobody is. stop ends the
// generator.
func Generated(shop *classicmodels.Shop, options classicmodels.EventOptions, made func(classicmodels.Event)) (
	events producer.Source, stop func(), err error,
) {
	var now time.Time
	options.Clock = func() time.Time { return now }
	sequence, err := shop.Events(options)
	if err != nil {
		return nil, nil, err
	}
	next, stop := iter.Pull(sequence)
	return func(due time.Time) (producer.Event, error) {
		now = due
		event, more := next()
		if !more {
			return producer.Event{}, io.EOF
		}
		if made != nil {
			made(event)
		}
		return producer.Event{Key: event.SessionID, Data: event.Payload}, nil
	}, stop, nil
}

// Recorded are the events of a file, as they are: each keeps its id and its time where it has them.
// A line that breaks the contract ends them with an error that names it. stop ends the reading.
func Recorded(name string, file io.Reader) (events producer.Source, stop func()) {
	next, stop := iter.Pull2(recorded.Read(file))
	return func(time.Time) (producer.Event, error) {
		line, err, more := next()
		switch {
		case !more:
			return producer.Event{}, io.EOF
		case err != nil:
			return producer.Event{}, fmt.Errorf("%s: %w", name, err)
		}
		return producer.Event{Key: line.Event.SessionID, Data: line.Text}, nil
	}, stop
}
