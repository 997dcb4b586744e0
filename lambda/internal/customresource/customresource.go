// Package customresource answers what CloudFormation asks of a custom resource by way of CDK's
// provider framework, for a resource that stands for something that is made whole or not at all, is
// made again without harm, and goes with what it is in. It does not know what is made.
//
// The life of a resource is not always Create, Update, Delete: a Create may be cancelled or not be
// answered in time, and then a Delete follows for an id that nobody gave; the framework and Lambda
// send an event again that took too long, while the first may still be worked on; an Update that
// fails is followed by one back, whose old properties are those that failed.
package customresource

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Answer is what the framework takes.
type Answer struct {
	PhysicalResourceID string            `json:"PhysicalResourceId"`
	Data               map[string]string `json:"Data"`
}

// Change is a Create or an Update.
type Change[Properties any] struct {
	// Wanted are the resource's properties.
	Wanted Properties
	// Update says that there was something before; Old are its properties, as far as they can be
	// read: those of a failed Update may be anything.
	Update bool
	Old    Properties
}

// Resource is one kind of custom resource.
type Resource[Properties any] struct {
	// ID of what is made. It never changes: CloudFormation deletes what a changed one stood for.
	ID string
	// Make makes it and returns what templates may ask of it.
	Make   func(context.Context, Change[Properties]) (map[string]string, error)
	Logger *slog.Logger
}

const (
	// CloudFormation takes an answer of 4,096 bytes. Beside its text and Data it has the stack's
	// ARN, at most 128 + 36 bytes of names and ids in it, the resource's two ids and the
	// framework's own words.
	// https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html
	maxText = 1500
	maxData = 1500
)

// Handle answers an event. The error says in short what went wrong; the log has all of it.
func (r Resource[Properties]) Handle(ctx context.Context, payload json.RawMessage) (Answer, error) {
	answer, err := r.answer(ctx, payload)
	if err == nil {
		return answer, nil
	}
	if short := cut(err.Error(), maxText); short != err.Error() {
		r.Logger.ErrorContext(ctx, "the custom resource failed", slog.Any("error", err))
		return Answer{}, fmt.Errorf("%s (the log has all of it)", short)
	}
	return Answer{}, err
}

func (r Resource[Properties]) answer(ctx context.Context, payload json.RawMessage) (Answer, error) {
	var event struct {
		RequestType        string
		PhysicalResourceID string `json:"PhysicalResourceId"`
		// Read where they are needed: a Delete must succeed whatever they are.
		ResourceProperties, OldResourceProperties json.RawMessage
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return Answer{}, fmt.Errorf("custom resource event: %w", err)
	}
	answer := Answer{PhysicalResourceID: r.ID, Data: map[string]string{}}
	change := Change[Properties]{}
	switch event.RequestType {
	case "Create":
	case "Update", "Delete":
		if event.PhysicalResourceID != "" { // which may be another one than we would give, or gave
			answer.PhysicalResourceID = event.PhysicalResourceID
		}
		change.Update = true
	default:
		return Answer{}, fmt.Errorf("RequestType is %q: Create, Update and Delete are allowed", event.RequestType)
	}
	if event.RequestType == "Delete" {
		return answer, nil // what was made goes with what it is in, or stays with it
	}
	if len(event.ResourceProperties) > 0 {
		if err := json.Unmarshal(event.ResourceProperties, &change.Wanted); err != nil {
			return Answer{}, fmt.Errorf("the custom resource's properties: %w", err)
		}
	}
	if json.Unmarshal(event.OldResourceProperties, &change.Old) != nil {
		var none Properties
		change.Old = none
	}
	data, err := r.Make(ctx, change)
	if err != nil {
		return Answer{}, err
	}
	// The shortest first, so that the long ones get what is left.
	names := slices.SortedFunc(maps.Keys(data), func(a, b string) int {
		return cmp.Compare(encoded(data[a]), encoded(data[b]))
	})
	left := maxData
	for i, name := range names {
		answer.Data[name] = cut(data[name], left/(len(names)-i))
		left -= encoded(answer.Data[name])
	}
	return answer, nil
}

// cut leaves of a text what takes no more than so many bytes in JSON: its beginning, and half as
// much of its end, where an error has its cause.
func cut(text string, bytes int) string {
	if encoded(text) <= bytes {
		return text
	}
	const between = "..."
	bytes -= len(between)
	letters := []rune(text)
	head, tail := 0, len(letters)
	for left := bytes * 2 / 3; left >= encoded(string(letters[head])); head++ {
		left -= encoded(string(letters[head]))
	}
	for left := bytes / 3; left >= encoded(string(letters[tail-1])); tail-- {
		left -= encoded(string(letters[tail-1]))
	}
	return string(letters[:head]) + between + string(letters[tail:])
}

// encoded is how many bytes a text takes in JSON at most: JavaScript writes control characters as
// \u0000, and Go some others, too.
func encoded(text string) int {
	size := 0
	for _, letter := range text {
		switch {
		case letter < ' ' || strings.ContainsRune("<>&\u2028\u2029", letter):
			size += 6
		case letter == '"' || letter == '\\':
			size += 2
		default:
			size += utf8.RuneLen(letter)
		}
	}
	return size
}
