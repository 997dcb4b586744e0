// Package environment is what a stack tells a program by environment variables: for each program a
// struct whose tags are the names. Stacks write the structs (Variables), programs read them (Read),
// and the laptop changes them on the way. The package opens nothing and does not know what a value
// is for.
package environment

import (
	"encoding"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// Log is a part of the environment of every function: what it logs at least.
type Log struct {
	Level slog.Level `env:"LOG_LEVEL" help:"debug, info, warn or error"`
}

// Transform is the environment of lambda/transform.
type Transform struct {
	Inference
}

// Deliver is the environment of lambda/deliver.
type Deliver struct {
	Inference
	Table string `env:"RECOMMENDATIONS_TABLE,notEmpty" help:"the name of the table that the shop reads"`
	// Keep is how long after it was made a row expires.
	Keep Seconds `env:"RECOMMENDATION_TTL_SECONDS,notEmpty" help:"how long a row is kept"`
}

// Inference says which function recommends.
type Inference struct {
	Function string `env:"INFERENCE_FUNCTION,notEmpty" help:"the name or ARN of the inference function"`
}

// VectorStore is a part of the environments of lambda/inference and lambda/vectorloader: where
// embeddings and models lie.
type VectorStore struct {
	Database
	ArtifactsBucket string `env:"ARTIFACTS_BUCKET,notEmpty" help:"the bucket that holds the models"`
}

// Recommends is the environment of lambda/inference.
type Recommends struct {
	VectorStore
	Memory
}

// Memory is a part of the environment of every function, which Lambda sets.
type Memory struct {
	FunctionMemory Mebibytes `env:"AWS_LAMBDA_FUNCTION_MEMORY_SIZE" envDefault:"128" help:"this function's memory"`
}

// VectorLoader is the environment of lambda/vectorloader.
type VectorLoader struct {
	VectorStore
	Refresh
	DatabaseMemory Mebibytes `env:"DATABASE_MEMORY_MIB,notEmpty" help:"the memory of the database's class"`
	FunctionMemory Mebibytes `env:"FUNCTION_MEMORY_MIB,notEmpty" help:"the memory of this function"`
}

// Refresh says how far a refreshed model may differ before a person must look at it: shares from 0
// to 1, and what a vector's length may differ from 1.
type Refresh struct {
	MinCatalogueOverlap Fraction `env:"MIN_CATALOGUE_OVERLAP,notEmpty" help:"the least share of products to have"`
	MinPreviousOverlap  Fraction `env:"MIN_PREVIOUS_OVERLAP,notEmpty" help:"the least share of items known before"`
	MaxVanished         Fraction `env:"MAX_VANISHED,notEmpty" help:"the largest share of items that may be gone"`
	LengthTolerance     Fraction `env:"LENGTH_TOLERANCE,notEmpty" help:"how far a vector's length may be from 1"`
}

// Source is the environment of lambda/sourceloader: the source by the administrator's login, and by
// that of who only reads.
type Source struct {
	Database
	Reader
}

// Reader is the login of who only reads a database, in place of Database's own.
type Reader struct {
	User      string `env:"READER_DATABASE_USER"`
	Auth      Auth   `env:"READER_DATABASE_AUTH"`
	SecretARN string `env:"READER_DATABASE_SECRET_ARN"`
}

// AsReader is the source by its reader's login.
func (s Source) AsReader() Database {
	read := s.Database
	read.User, read.Auth, read.SecretARN = s.Reader.User, s.Reader.Auth, s.Reader.SecretARN
	return read
}

// Check names everything with which one of the two cannot be opened.
func (s Source) Check() error {
	problems := []error{s.Database.Check()}
	// What both have, host and port and so on, is told already.
	login := Database{Host: "h", Port: "1", Name: "n", User: s.Reader.User, Auth: s.Reader.Auth,
		SecretARN: s.Reader.SecretARN,
		Region:    s.Region}
	return errors.Join(append(problems, prefixed("READER_", login.Check()))...)
}

// prefixed are the problems of a database whose variables have a prefix.
func prefixed(prefix string, err error) error {
	if err == nil {
		return nil
	}
	var problems []error
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "DATABASE_") {
			line = prefix + line
		}
		problems = append(problems, errors.New(line))
	}
	return errors.Join(problems...)
}

// Fraction is a number from 0 to 1.
type Fraction float64

// UnmarshalText reads a decimal number.
func (f *Fraction) UnmarshalText(text []byte) error {
	number, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(number >= 0 && number <= 1) {
		return errors.New("a number from 0 to 1 is allowed")
	}
	*f = Fraction(number)
	return nil
}

// MarshalText writes the number that UnmarshalText reads.
func (f Fraction) MarshalText() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(f), 'f', -1, 64), nil
}

// Mebibytes is a size in MiB, from 1 on.
type Mebibytes int

// UnmarshalText reads a decimal number.
func (m *Mebibytes) UnmarshalText(text []byte) error {
	number, err := strconv.Atoi(string(text))
	if err != nil || number < 1 {
		return errors.New("a whole number from 1 on is allowed")
	}
	*m = Mebibytes(number)
	return nil
}

// MarshalText writes the number that UnmarshalText reads; nothing of zero, which it refuses.
func (m Mebibytes) MarshalText() ([]byte, error) {
	if m == 0 {
		return nil, nil
	}
	return strconv.AppendInt(nil, int64(m), 10), nil
}

// Seconds is a duration in whole seconds, from 1 on.
type Seconds time.Duration

// UnmarshalText reads a decimal number.
func (s *Seconds) UnmarshalText(text []byte) error {
	seconds, err := strconv.Atoi(string(text))
	if err != nil || seconds < 1 {
		return errors.New("a whole number from 1 on is allowed")
	}
	*s = Seconds(time.Duration(seconds) * time.Second)
	return nil
}

// MarshalText writes the number that UnmarshalText reads; nothing of zero, which it refuses.
func (s Seconds) MarshalText() ([]byte, error) {
	if s == 0 {
		return nil, nil
	}
	return strconv.AppendInt(nil, int64(time.Duration(s)/time.Second), 10), nil
}

// OfProcess are the variables of this process.
func OfProcess() map[string]string { return env.ToMap(os.Environ()) }

// Read fills an environment from variables. The error names every variable that is missing or
// wrong, one to a line. What lies behind the names is not looked at.
func Read[T any](variables map[string]string) (T, error) {
	var read T
	err := env.ParseWithOptions(&read, env.Options{Environment: variables})
	problems := describe(err, fields(reflect.ValueOf(read)), variables)
	if checked, ok := any(read).(interface{ Check() error }); ok {
		problems = append(problems, checked.Check())
	}
	return read, errors.Join(problems...)
}

// Variables are what Read reads as this environment. An empty value is no variable.
func Variables(environment any) map[string]string {
	variables := map[string]string{}
	for _, field := range fields(reflect.ValueOf(environment)) {
		if field.text != "" {
			variables[field.variable] = field.text
		}
	}
	return variables
}

// field is one variable of an environment.
type field struct {
	name, variable, help string
	text                 string
}

// fields are those of a struct and of the structs that it embeds, in their order.
func fields(environment reflect.Value) []field {
	var all []field
	for i := range environment.NumField() {
		declared, value := environment.Type().Field(i), environment.Field(i)
		if declared.Anonymous {
			all = append(all, fields(value)...)
			continue
		}
		variable, _, _ := strings.Cut(declared.Tag.Get("env"), ",")
		all = append(all, field{declared.Name, variable, declared.Tag.Get("help"), text(value)})
	}
	return all
}

func text(value reflect.Value) string {
	if marshaler, ok := value.Interface().(encoding.TextMarshaler); ok {
		text, err := marshaler.MarshalText()
		if err != nil {
			panic(fmt.Sprintf("environment: %v", err)) // only a type of this package can get here
		}
		return string(text)
	}
	if value.Kind() != reflect.String {
		panic(fmt.Sprintf("environment: field of type %s: want text or an encoding.TextMarshaler", value.Type()))
	}
	return value.String()
}

// describe tells the library's errors in words that say what to do.
func describe(err error, fields []field, variables map[string]string) []error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return []error{err}
	}
	var problems []error
	for _, one := range all.Errors {
		problems = append(problems, reason(one, fields, variables))
	}
	return problems
}

func reason(err error, fields []field, variables map[string]string) error {
	var (
		empty  env.EmptyVarError
		broken env.ParseError
	)
	for _, field := range fields {
		if errors.As(err, &empty) && empty.Key == field.variable {
			return fmt.Errorf("%s is not set: %s", field.variable, field.help)
		}
		if errors.As(err, &broken) && broken.Name == field.name {
			return fmt.Errorf("%s is %q: %w", field.variable, variables[field.variable], broken.Err)
		}
	}
	return err
}
