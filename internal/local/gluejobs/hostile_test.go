package gluejobs

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/hostiletest"
)

func TestNoRequestEndsTheHost(t *testing.T) {
	install(t)
	host, client := start(t, options(t))
	add(t, host, "exit 0", nil)
	id := begin(t, client, nil)
	ended(t, host, client, id)
	var samples []hostiletest.Sample
	for _, operation := range [][2]string{
		{"StartJobRun", `{"JobName":"other","Arguments":{"--a":"b"},"Timeout":1,"JobRunQueuingEnabled":false}`},
		{"GetJobRun", `{"JobName":"etl","RunId":"` + id + `","PredecessorsIncluded":true}`},
		{"GetJobRuns", `{"JobName":"etl","MaxResults":1,"NextToken":"1"}`},
		{"BatchStopJobRun", `{"JobName":"etl","JobRunIds":["a"]}`},
	} {
		samples = append(samples, hostiletest.Sample{Name: operation[0], Body: operation[1], Headers: map[string]string{
			"Content-Type": service.ContentType, "X-Amz-Target": service.Target + operation[0],
			"Authorization": "AWS4-HMAC-SHA256 Credential=" + options(t).Credentials.AccessKeyID +
				"/20260101/eu-test-1/glue/aws4_request, SignedHeaders=host, Signature=a",
		}})
	}
	statuses := hostiletest.Fuzz(t, strings.TrimPrefix(host.Endpoint(), "http://"),
		hostiletest.Requests(1, 800, samples), func() {
			told, err := client.GetJobRun(t.Context(), &glue.GetJobRunInput{JobName: aws.String("etl"), RunId: &id})
			require.NoError(t, err)
			assert.Equal(t, id, *told.JobRun.Id)
		})
	assert.Zero(t, statuses[http.StatusInternalServerError])
}
