package environment

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var deliver = map[string]string{
	"INFERENCE_FUNCTION": "f", "RECOMMENDATIONS_TABLE": "t", "RECOMMENDATION_TTL_SECONDS": "60", "PATH": "/bin",
}

func TestReadFillsTheStruct(t *testing.T) {
	read, err := Read[Deliver](deliver)
	require.NoError(t, err)
	assert.Equal(t, Deliver{Inference: Inference{"f"}, Table: "t", Keep: Seconds(time.Minute)}, read)
}

func TestReadNamesEveryProblem(t *testing.T) {
	_, err := Read[Deliver](nil)
	require.EqualError(t, err, `INFERENCE_FUNCTION is not set: the name or ARN of the inference function
RECOMMENDATIONS_TABLE is not set: the name of the table that the shop reads
RECOMMENDATION_TTL_SECONDS is not set: how long a row is kept`)

	_, err = Read[Deliver](map[string]string{"RECOMMENDATIONS_TABLE": "", "INFERENCE_FUNCTION": "f",
		"RECOMMENDATION_TTL_SECONDS": "1h"})
	require.EqualError(t, err, `RECOMMENDATIONS_TABLE is not set: the name of the table that the shop reads
RECOMMENDATION_TTL_SECONDS is "1h": a whole number from 1 on is allowed`)

	_, err = Read[VectorStore](nil)
	for _, name := range []string{"ARTIFACTS_BUCKET", "DATABASE_HOST", "DATABASE_PORT", "DATABASE_NAME",
		"DATABASE_AUTH"} {
		require.ErrorContains(t, err, name, "what the embedded struct checks is told with the rest")
	}
}

func TestReadLooksAtTheGivenVariablesOnly(t *testing.T) {
	t.Setenv("INFERENCE_FUNCTION", "of-the-process")
	_, err := Read[Transform](map[string]string{})
	require.ErrorContains(t, err, "INFERENCE_FUNCTION is not set")
	read, err := Read[Transform](OfProcess())
	require.NoError(t, err)
	assert.Equal(t, "of-the-process", read.Function)
}

func TestSecondsAreWholeAndPositive(t *testing.T) {
	shortest := maps.Clone(deliver)
	shortest["RECOMMENDATION_TTL_SECONDS"] = "1"
	read, err := Read[Deliver](shortest)
	require.NoError(t, err)
	assert.Equal(t, Seconds(time.Second), read.Keep)
	for _, bad := range []string{"0", "-1", "1h", "1.5", " 1"} {
		variables := maps.Clone(deliver)
		variables["RECOMMENDATION_TTL_SECONDS"] = bad
		_, err := Read[Deliver](variables)
		require.ErrorContains(t, err, "RECOMMENDATION_TTL_SECONDS is \""+bad+"\": a whole number from 1 on is allowed")
	}
}

// What a stack writes is what the program reads.
func TestVariablesAreReadBack(t *testing.T) {
	written := Deliver{Inference: Inference{"f"}, Table: "t", Keep: Seconds(90 * time.Minute)}
	assert.Equal(t, map[string]string{
		"INFERENCE_FUNCTION": "f", "RECOMMENDATIONS_TABLE": "t", "RECOMMENDATION_TTL_SECONDS": "5400",
	}, Variables(written))
	read, err := Read[Deliver](Variables(written))
	require.NoError(t, err)
	assert.Equal(t, written, read)

	store := VectorStore{
		Database: Database{
			Host: "h", Port: "1", Name: "n", User: "u", Auth: Secret, SecretARN: "s", TLS: VerifyFull, CAFile: "f",
			Region: "r",
		},
		ArtifactsBucket: "b",
	}
	assert.Len(t, Variables(store), 10)
	again, err := Read[VectorStore](Variables(store))
	require.NoError(t, err)
	assert.Equal(t, store, again)

	loader := VectorLoader{
		VectorStore: store,
		Refresh: Refresh{MinCatalogueOverlap: 0.99, MinPreviousOverlap: 0.5, MaxVanished: 0,
			LengthTolerance: 1e-6},
		DatabaseMemory: 1024, FunctionMemory: 512,
	}
	loads, err := Read[VectorLoader](Variables(loader))
	require.NoError(t, err)
	assert.Equal(t, loader, loads)

	source := Source{
		Database: Database{Host: "h", Port: "1", Name: "n", Auth: Secret, SecretARN: "s", TLS: VerifyFull, Region: "r"},
		Reader:   Reader{User: "etl_reader", Auth: IAM},
	}
	both, err := Read[Source](Variables(source))
	require.NoError(t, err)
	assert.Equal(t, source, both)
}

func TestFractionsAndSizesAreBounded(t *testing.T) {
	for name, bad := range map[string][]string{
		"MAX_VANISHED":        {"-0.1", "1.1", "NaN", "half", ""},
		"FUNCTION_MEMORY_MIB": {"0", "-1", "1.5", "512M", ""},
	} {
		for _, value := range bad {
			_, err := Read[VectorLoader](map[string]string{name: value})
			require.ErrorContains(t, err, name)
		}
	}
}

func TestReaderHasALoginOfItsOwn(t *testing.T) {
	source := Source{
		Database: Database{Host: "h", Port: "1", Name: "n", Auth: Secret, SecretARN: "s", TLS: VerifyFull, Region: "r"},
		Reader:   Reader{User: "etl_reader", Auth: IAM},
	}
	assert.Equal(t, Database{Host: "h", Port: "1", Name: "n", User: "etl_reader", Auth: IAM, TLS: VerifyFull,
		Region: "r"},
		source.AsReader())
	require.NoError(t, source.Check())

	source.Reader.User = ""
	require.EqualError(t, source.Check(),
		"READER_DATABASE_USER is not set: the database user that logs in by IAM token")
	source.Reader.Auth = "password"
	require.EqualError(t, source.Check(), `READER_DATABASE_AUTH is "password": "iam" and "secret" are allowed`)
	source.Host = ""
	require.ErrorContains(t, source.Check(), "DATABASE_HOST is not set")
}

func TestEmptyValuesAreNoVariables(t *testing.T) {
	assert.Empty(t, Variables(Deliver{}))
	assert.Equal(t, map[string]string{"DATABASE_HOST": "h"}, Variables(Database{Host: "h"}))
}

// Every problem speaks of variables that the struct has, and every field has a variable.
func TestEveryFieldHasAVariable(t *testing.T) {
	name := regexp.MustCompile(`^[A-Z][A-Z_]+$`)
	for _, environment := range []any{Transform{}, Deliver{}, VectorStore{}, VectorLoader{}, Source{}, Web{}} {
		for _, field := range fields(reflect.ValueOf(environment)) {
			assert.Regexp(t, name, field.variable, field.name)
		}
	}
	var known []string
	for _, field := range fields(reflect.ValueOf(Database{})) {
		known = append(known, field.variable)
	}
	for _, database := range []Database{{}, {Auth: IAM, Port: "x", TLS: "x"}, {Auth: Secret, Host: "h", TLS: Off}} {
		for line := range strings.Lines(database.Check().Error()) {
			variable, _, _ := strings.Cut(line, " ")
			assert.True(t, slices.Contains(known, variable), line)
		}
	}
}

func TestAFieldOfAnotherKindIsAMistakeOfThisPackage(t *testing.T) {
	assert.PanicsWithValue(t, "environment: field of type int: want text or an encoding.TextMarshaler", func() {
		Variables(struct {
			Count int `env:"COUNT"`
		}{1})
	})
}
