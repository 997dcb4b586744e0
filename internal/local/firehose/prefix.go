package firehose

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"
)

// processingFailed is the error output type of records that the processor did not transform.
const processingFailed = "processing-failed"

const (
	byHour         = "!{timestamp:yyyy/MM/dd/HH}/"
	errorTypeValue = "error-output-type"
	// maxExpression bounds a prefix as it is written, in bytes (API reference,
	// ExtendedS3DestinationConfiguration), maxPrefix an evaluated one, in characters.
	maxExpression = 1024
	maxPrefix     = 512
	// randomLength is that of !{firehose:random-string}, in characters.
	randomLength = 11
)

// prefix of object keys, parsed.
type prefix []expression

// expression evaluates a part of a prefix for an object whose oldest record arrived at a time.
type expression func(at time.Time) string

func literal(text string) expression { return func(time.Time) string { return text } }

// evaluate is the prefix of an object whose oldest record arrived at that time.
func (p prefix) evaluate(oldest time.Time) string {
	var key strings.Builder
	for _, part := range p {
		key.WriteString(part(oldest.UTC()))
	}
	return key.String()
}

func parsePrefix(text string) (prefix, error) {
	if !strings.Contains(text, "!{") {
		text += byHour
	}
	return parse(text, false)
}

// parseErrorPrefix parses the prefix of the error output, or the default that comes from the other
// prefix.
func parseErrorPrefix(text, dataPrefix string) (prefix, error) {
	if text == "" {
		if strings.Contains(dataPrefix, "!{") {
			return nil, errors.New("it is empty, which is not allowed when Prefix has an expression: write one with " +
				"!{firehose:error-output-type}")
		}
		text = dataPrefix
	}
	if !strings.Contains(text, "!{") {
		text += "!{firehose:" + errorTypeValue + "}/" + byHour
	}
	if !strings.Contains(text, "!{firehose:"+errorTypeValue+"}") {
		return nil, fmt.Errorf("%q has expressions but not !{firehose:error-output-type}, which it must have then",
			text)
	}
	return parse(text, true)
}

func parse(text string, forErrors bool) (prefix, error) {
	if len(text) > maxExpression {
		return nil, fmt.Errorf("it has %d bytes, at most %d are allowed", len(text), maxExpression)
	}
	var parsed prefix
	var problems []error
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "!{")
		if before != "" {
			parsed = append(parsed, literal(before))
		}
		if !found {
			break
		}
		body, next, closed := strings.Cut(after, "}")
		if !closed {
			problems = append(problems, fmt.Errorf("%q has no closing brace", "!{"+after))
			break
		}
		part, err := parseExpression(body, forErrors)
		if err != nil {
			problems = append(problems, fmt.Errorf("!{%s}: %w", body, err))
		}
		parsed, rest = append(parsed, part), next
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	// Every evaluation of a prefix has the same length.
	if length := len([]rune(parsed.evaluate(time.Unix(0, 0)))); length > maxPrefix {
		return nil, fmt.Errorf("evaluated it has %d characters, at most %d are allowed", length, maxPrefix)
	}
	return parsed, nil
}

func parseExpression(body string, forErrors bool) (expression, error) {
	namespace, value, found := strings.Cut(body, ":")
	switch {
	case !found:
		return nil, errors.New("want namespace:value")
	case namespace == "timestamp":
		return parseTimestamp(value)
	case namespace == "firehose" && value == "random-string":
		return func(time.Time) string { return rand.Text()[:randomLength] }, nil
	case namespace == "firehose" && value == errorTypeValue && !forErrors:
		return nil, errors.New("only the error prefix has it")
	case namespace == "firehose" && value == errorTypeValue:
		return literal(processingFailed), nil
	case namespace == "firehose":
		return nil, errors.New("this namespace has random-string and error-output-type")
	case namespace == "partitionKeyFromQuery" || namespace == "partitionKeyFromLambda":
		return nil, errors.New("dynamic partitioning is not supported")
	default:
		return nil, errors.New("the namespaces are timestamp and firehose")
	}
}

// timestampFields are those letters of java.time.format.DateTimeFormatter that are supported, with
// Go's layout for them.
var timestampFields = map[string]string{"yyyy": "2006", "MM": "01", "dd": "02", "HH": "15", "mm": "04", "ss": "05"}

// parseTimestamp reads a pattern of DateTimeFormatter: letters are fields, text in single quotes
// and everything else but brackets, braces and # stands for itself, two single quotes are one.
func parseTimestamp(pattern string) (expression, error) {
	var parts prefix
	if pattern == "" {
		return nil, errors.New("the pattern is empty")
	}
	for rest := pattern; rest != ""; {
		character := rest[0]
		switch {
		case character == '\'':
			text, next, err := quoted(rest)
			if err != nil {
				return nil, err
			}
			parts, rest = append(parts, literal(text)), next
		case isLetter(character):
			length := 1
			for length < len(rest) && rest[length] == character {
				length++
			}
			layout, supported := timestampFields[rest[:length]]
			if !supported {
				return nil, fmt.Errorf("pattern letters %s are not supported: use yyyy, MM, dd, HH, mm, ss, or text "+
					"in single quotes", rest[:length])
			}
			parts, rest = append(parts, func(at time.Time) string { return at.Format(layout) }), rest[length:]
		case strings.IndexByte("[]{}#", character) >= 0:
			return nil, fmt.Errorf("%c is reserved in a pattern: put it in single quotes", character)
		default:
			parts, rest = append(parts, literal(rest[:1])), rest[1:]
		}
	}
	return parts.evaluate, nil
}

// quoted reads what begins with a single quote, and returns what follows it.
func quoted(text string) (content, rest string, err error) {
	if strings.HasPrefix(text, "''") {
		return "'", text[2:], nil
	}
	var unquoted strings.Builder
	for rest = text[1:]; ; {
		before, after, closed := strings.Cut(rest, "'")
		if !closed {
			return "", "", fmt.Errorf("%s has no closing quote", text)
		}
		unquoted.WriteString(before)
		if !strings.HasPrefix(after, "'") {
			return unquoted.String(), after, nil
		}
		unquoted.WriteByte('\'')
		rest = after[1:]
	}
}

func isLetter(character byte) bool {
	return 'a' <= character && character <= 'z' || 'A' <= character && character <= 'Z'
}
