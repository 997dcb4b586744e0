package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// apiOf asks the API with headers, given as name and value in turn.
func apiOf(t *testing.T, address, below string, headers ...string) (status int, reason string, header http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/api/v1/"+below, nil)
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	var problem struct{ Reason string }
	require.NoError(t, json.Unmarshal(text, &problem), string(text))
	return answer.StatusCode, problem.Reason, answer.Header
}

const session = "6f1c9b7e-2d4a-4c8e-9b13-5a7d2e8f4c60"

// withoutStores starts a server to which neither database nor service answers.
func withoutStores(t *testing.T, changes map[string]string) (address string, logged func() []map[string]any) {
	t.Helper()
	t.Setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:"+free(t))
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	return started(t, changes)
}

func TestTheAPIStandsWithoutItsStores(t *testing.T) {
	address, logged := withoutStores(t, nil)
	status, _, header := apiOf(t, address, "openapi.json")
	assert.Equal(t, http.StatusOK, status)
	assert.NotEmpty(t, header.Get("Content-Security-Policy"), "what protects the pages protects it")
	for below, reason := range map[string]string{"recommendations": "store_away", "popular": "store_away",
		"products/S10_1678/similar": "store_away", "sales/totals": "sales_not_read"} {
		status, told, header := apiOf(t, address, below, "Diecast-Session", session)
		assert.Equal(t, http.StatusServiceUnavailable, status, below)
		assert.Equal(t, reason, told, below)
		assert.NotEmpty(t, header.Get("Retry-After"))
	}
	assert.Equal(t, http.StatusOK, ask(t, address+"/healthz").StatusCode)
	vain := 0
	for _, record := range logged() {
		text, err := json.Marshal(record)
		require.NoError(t, err)
		assert.NotContains(t, string(text), session)
		if record["msg"] == "the API asked in vain" {
			vain++
		}
	}
	assert.Equal(t, 3, vain)
}

func TestTheEnvironmentRulesTheAPI(t *testing.T) {
	t.Run("random", func(t *testing.T) {
		address, _ := withoutStores(t, map[string]string{"WEB_API": "random", "WEB_SALES": "withheld"})
		for below, headers := range map[string][]string{"sales/totals": nil,
			"recommendations": {"Diecast-Session", "session-1"}} {
			status, reason, _ := apiOf(t, address, below, headers...)
			assert.Equal(t, http.StatusNotFound, status, below)
			assert.Equal(t, "not_served", reason)
		}
	})
	t.Run("token", func(t *testing.T) {
		address, logged := withoutStores(t, map[string]string{"WEB_API": "token", "WEB_SALES": "withheld",
			"WEB_SHOP_ORIGINS": "https://a.example  https://b.example", "WEB_REQUESTS_PER_TOKEN": "4"})
		status, reason, _ := apiOf(t, address, "sales/totals")
		assert.Equal(t, http.StatusUnauthorized, status)
		assert.Equal(t, "token_required", reason)
		status, reason, header := apiOf(t, address, "sales/totals", "Authorization", "Bearer x", "Origin",
			"https://b.example")
		assert.Equal(t, http.StatusServiceUnavailable, status, "they are told, and are away")
		assert.Equal(t, "sales_not_read", reason)
		assert.Equal(t, "https://b.example", header.Get("Access-Control-Allow-Origin"))
		status, _, _ = apiOf(t, address, "sales/totals", "Authorization", "Bearer x")
		assert.Equal(t, http.StatusTooManyRequests, status)
		assert.Equal(t, http.StatusForbidden, ask(t, address+"/sales").StatusCode, "the pages tell them to nobody")
		require.Eventually(t, func() bool {
			for _, record := range logged() {
				if record["msg"] == "sales will be refreshed" {
					return true
				}
			}
			return false
		}, 10*time.Second, 10*time.Millisecond, "the API needs them")
	})
	t.Run("login", func(t *testing.T) {
		address, _ := withoutStores(t, map[string]string{"WEB_API": "login",
			"WEB_OIDC_ISSUER": "https://id.example.com", "WEB_OIDC_CLIENT_ID": "diecast",
			"WEB_OIDC_PROVIDER":      "https://login.example.com",
			"WEB_OIDC_LOAD_BALANCER": "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/w/1"})
		status, reason, _ := apiOf(t, address, "popular")
		assert.Equal(t, http.StatusUnauthorized, status)
		assert.Equal(t, "login_required", reason)
	})
	t.Run("sessions", func(t *testing.T) {
		address, _ := withoutStores(t, map[string]string{"WEB_REQUESTS_PER_SESSION": "4"})
		statuses := map[int]int{}
		for range 2 {
			status, _, _ := apiOf(t, address, "recommendations", "Diecast-Session", session)
			statuses[status]++
		}
		assert.Equal(t, map[int]int{http.StatusServiceUnavailable: 1, http.StatusTooManyRequests: 1}, statuses)
	})
}

// taking is a stream that notes what it is given.
type taking struct {
	put []*kinesis.PutRecordInput
	err error
}

func (k *taking) PutRecord(_ context.Context, record *kinesis.PutRecordInput, _ ...func(*kinesis.Options)) (
	*kinesis.PutRecordOutput, error) {
	k.put = append(k.put, record)
	return &kinesis.PutRecordOutput{}, k.err
}

func TestEventsOfASessionStayTogetherOnTheStream(t *testing.T) {
	client := &taking{}
	put := putOn(client, "events")
	require.NoError(t, put(t.Context(), session, []byte("event")))
	require.Len(t, client.put, 1)
	assert.Equal(t, []string{"events", session, "event"},
		[]string{*client.put[0].StreamName, *client.put[0].PartitionKey, string(client.put[0].Data)})
	client.err = errors.New("throttled")
	require.ErrorContains(t, put(t.Context(), session, nil), "stream events: throttled")
}
