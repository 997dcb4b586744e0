package deployment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/deployment/outputs"
)

// written is a file of outputs with this text.
func written(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "outputs.json")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func read(t *testing.T, text string) *Deployment {
	t.Helper()
	deployed, err := Read(written(t, text))
	require.NoError(t, err)
	return deployed
}

func TestNamesAreThoseOfTheOutputs(t *testing.T) {
	names, err := read(t, `{"shop-Streaming":{"StreamName":"s","RecommendationsBucketName":"b",
		"RecommendationsTableName":"t"}}`).Streaming()
	require.NoError(t, err)
	assert.Equal(t, Streaming{Stream: "s", Bucket: "b", Table: "t"}, names)
}

func TestPlatformIsTheNameBeforeTheStacks(t *testing.T) {
	for text, platform := range map[string]string{
		`{"diecast-Streaming":{}}`:                                          "diecast",
		`{"my-shop-Network":{},"my-shop-VectorsData":{}}`:                   "my-shop",
		`{"shop-Vectors":{},"Billing":{},"another-App":{},"-Streaming":{}}`: "shop",
		`{"shop-Streaming":{},"endpoints":{}}`:                              "shop",
	} {
		assert.Equal(t, platform, read(t, text).platform, text)
	}
}

func TestFilesThatAreNoDeploymentAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		text     string
		messages []string
	}{
		"no JSON": {`{`, []string{"not an object of outputs for each stack",
			"npx cdk deploy --all --outputs-file outputs.json"}},
		"no stack": {`{"Billing":{}}`, []string{"no stack of the platform, such as diecast-Streaming",
			"npx cdk deploy --all"}},
		"a run's rest":  {`{"endpoints":{}}`, []string{"no stack of the platform"}},
		"two platforms": {`{"b-Network":{},"a-Streaming":{}}`, []string{"platforms a, b", "a file of its own"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := written(t, test.text)
			_, err := Read(file)
			for _, message := range append(test.messages, file) {
				require.ErrorContains(t, err, message)
			}
		})
	}
}

func TestAMissingFileSaysWhereOneComesFrom(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nowhere.json")
	_, err := Read(file)
	for _, message := range []string{file, "npx cdk deploy --all --outputs-file outputs.json", "make up"} {
		require.ErrorContains(t, err, message)
	}
	_, err = Read(t.TempDir())
	require.ErrorContains(t, err, "file of outputs")
	assert.NotContains(t, err.Error(), "there is no file", "a folder is something else")
}

func TestMissingOutputsAreNamedWithStackAndFile(t *testing.T) {
	deployed := read(t, `{"shop-Streaming":{"RecommendationsTableName":""},"shop-Vectors":{}}`)
	_, err := deployed.Streaming()
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 2, "an empty value is one")
	assert.Contains(t, lines[0],
		"outputs.json: stack shop-Streaming has no output StreamName; `npx cdk deploy --all")
	assert.Contains(t, lines[1], "outputs.json: stack shop-Streaming has no output RecommendationsBucketName; ")
	value, err := deployed.Value(outputs.RecommendationsTableName)
	require.NoError(t, err)
	assert.Empty(t, value)
	_, err = deployed.Value(outputs.VectorsDatabaseHost)
	require.ErrorContains(t, err, "stack shop-Vectors has no output DatabaseHost")
}

func TestAMissingStackIsToldOnce(t *testing.T) {
	_, err := read(t, `{"shop-Network":{}}`).Streaming()
	require.ErrorContains(t, err, "it has no stack shop-Streaming; `npx cdk deploy --all")
	assert.Equal(t, 0, strings.Count(err.Error(), "\n"))

	_, err = read(t, `{"shop-Network":{},"endpoints":{}}`).Streaming()
	require.ErrorContains(t, err, "it has no stack shop-Streaming; `make synth`, then start the run again")
}

func TestTargetSaysWhatWouldChange(t *testing.T) {
	network := `{"shop-Network":{"AlarmTopicArn":"arn:aws:sns:eu-central-1:123456789012:alarms"}}`
	secret := `{"shop-Vectors":{"DatabaseSecretArn":"arn:aws:secretsmanager:us-west-2:210987654321:secret:s"}}`
	for text, target := range map[string]string{
		network: "platform shop on AWS, account 123456789012, region eu-central-1, " +
			"outputs of ",
		secret: "platform shop on AWS, account 210987654321, region us-west-2, " +
			"outputs of ",
		`{"shop-Streaming":{}}`:                "platform shop on AWS, outputs of ",
		`{"shop-Streaming":{},"endpoints":{}}`: "platform shop on this machine, run of ",
	} {
		file := written(t, text)
		deployed, err := Read(file)
		require.NoError(t, err)
		assert.Equal(t, target+file, deployed.Target())
	}
}
