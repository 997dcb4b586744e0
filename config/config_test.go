package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/test/accept"
)

// problemsOf loads a context that must be refused.
func problemsOf(t *testing.T, context map[string]any) []Problem {
	t.Helper()
	c, err := Load(context)
	var problems *Problems
	require.ErrorAs(t, err, &problems)
	require.NotEmpty(t, problems.List)
	assert.Zero(t, c, "a refused configuration must not be usable")
	return problems.List
}

// TestWhatTestsRunIsSaidTruly of the server that a file names; PostgreSQL's version is in its
// binaries alone.
func TestWhatTestsRunIsSaidTruly(t *testing.T) {
	version, err := os.ReadFile("../internal/local/mariadb/VERSION")
	require.NoError(t, err)
	assert.Equal(t, "MariaDB "+strings.TrimSpace(string(version)), ranMySQL)
}

func TestEachProfileLoadsWithItsOwnDefaults(t *testing.T) {
	for _, profile := range Profiles() {
		t.Run(profile, func(t *testing.T) {
			c, err := Load(map[string]any{"profile": profile})
			require.NoError(t, err)
			assert.Equal(t, profile, c.Profile)

			// Every default, written out as -c would take it, gives the same configuration.
			written := map[string]any{}
			for _, k := range Keys() {
				written[k.Name] = k.Default(profile)
			}
			written["profile"] = profile
			again, err := Load(written)
			require.NoError(t, err)
			assert.Equal(t, c, again)
		})
	}
}

func TestLeanIsTheDefaultAndTheCheapest(t *testing.T) {
	c, err := Load(nil)
	require.NoError(t, err)
	assert.Equal(t, Lean, c.Profile)
	assert.Equal(t, "diecast", c.Name)
	assert.Equal(t, netip.MustParsePrefix("10.42.0.0/16"), c.Network.CIDR)
	assert.Equal(t, NATNone, c.Network.NAT)
	assert.False(t, c.Network.SessionManager)
	assert.False(t, c.Vectors.MultiAZ)
	assert.Equal(t, 1, c.Streaming.Shards)
	assert.Zero(t, c.Inference.ReservedConcurrency)
	assert.LessOrEqual(t, c.Streaming.Parallelization, 2)
}

func TestNoProfileDestroysDataByItself(t *testing.T) {
	for _, profile := range Profiles() {
		c, err := Load(map[string]any{"profile": profile})
		require.NoError(t, err)
		assert.False(t, c.DestroysData(), profile)
	}
}

func TestDestroysDataTakesBothKeys(t *testing.T) {
	for _, removal := range []string{RemovalRetain, RemovalDestroy} {
		for _, destroy := range []bool{false, true} {
			c := Config{Data: Data{Removal: removal, Destroy: destroy}}
			assert.Equal(t, removal == RemovalDestroy && destroy, c.DestroysData(), "%s %t", removal, destroy)
		}
	}
	c, err := Load(map[string]any{"data.destroy": true, "data.removal": "destroy"})
	require.NoError(t, err)
	assert.True(t, c.DestroysData())
}

func TestJSONValuesAndCommandLineTextMeanTheSame(t *testing.T) {
	var fromFile map[string]any
	require.NoError(t, json.Unmarshal([]byte(`{
		"vectors.multiAz": true, "streaming.shards": 3, "streaming.processorBufferMiB": 0.25,
		"network.reservedCidrs": ["10.0.0.0/16", "10.1.0.0/16"], "name": "shop"}`), &fromFile))
	fromText := map[string]any{
		"vectors.multiAz": "true", "streaming.shards": " 3", "streaming.processorBufferMiB": "0.25",
		"network.reservedCidrs": "10.0.0.0/16, 10.1.0.0/16", "name": "shop", "capacity.accountConcurrency": 1000,
	}
	fromFile["capacity.accountConcurrency"] = "1000"
	file, err := Load(fromFile)
	require.NoError(t, err)
	text, err := Load(fromText)
	require.NoError(t, err)
	assert.Equal(t, file, text)
	assert.True(t, file.Vectors.MultiAZ)
	assert.Equal(t, 3, file.Streaming.Shards)
	assert.Equal(t, 0.25, file.Streaming.ProcessorBufferMiB)
	assert.Len(t, file.Network.ReservedCIDRs, 2)
}

// badValues holds values that each key must refuse by itself.
var badValues = map[string][]any{
	"profile": {"large", "", 1.0, nil, []any{"lean"}},
	"name": {"", "a", "Diecast", "9lives", "under_score", "ends-", strings.Repeat("a", 21),
		[]any{"shop"}},
	"alarms.email": {"nobody", "a@b", "Ann <ann@example.com>", "a@example.com,b@example.com",
		"a\n@example.com", true},
	"data.removal":                {"delete", "", true},
	"data.destroy":                {"yes", "", 1.0, []any{"true"}},
	"data.accessLogs":             {"on"},
	"data.accessLogRetentionDays": {0.0, 3651.0},
	"network.cidr": {"10.0.0.0/15", "10.0.0.0/23", "10.0.0.1/16", "11.0.0.0/16", "fd00::/16",
		"10.0.0.0", ""},
	"network.reservedCidrs":             {"10.0.0.0/33", "10.0.0.1/16", "10.0.0.0/16,", []any{16.0}, []any{nil}, 10.0},
	"network.nat":                       {"nat", true},
	"network.natGateways":               {0.0, 3.0},
	"network.sessionManager":            {"TRUE"},
	"network.endpointPerZone":           {"2"},
	"network.flowLogRetentionDays":      {0.0, 2.0, -1.0, 4000.0},
	"databases.certificateAuthorities":  {"no-such-file.pem", ".", "config_test.go", "a\nb", true},
	"databases.autoMinorVersionUpgrade": {"yes"},
	"vectors.engineVersion":             {"18", "17.9", "19.1", "18.0", "18.06", "18.6.1", "v18.6", ""},
	"vectors.generation":                {0.0, 1.5, "one", 1_000_001.0},
	"source.engineVersion":              {"8.4", "8.0.40", "9.4.1", "8.4.0", "8.4.11-rds", ""},
	"source.generation":                 {0.0, "2nd"},
	"vectors.instanceClass":             {"t4g.micro", "db.t4g.nano", "db.x9.large", ""},
	"vectors.storageGiB":                {19.0, 16385.0, 20.5},
	"vectors.multiAz":                   {"no"},
	"vectors.backupRetentionDays":       {-1.0, 36.0},
	"vectors.deletionProtection":        {nil},
	"vectors.minCatalogueOverlap":       {-0.1, 1.1, "99%"},
	"vectors.minPreviousOverlap":        {-0.1, 1.1, "half"},
	"vectors.maxVanished":               {-0.1, 1.1, "NaN"},
	"vectors.lengthTolerance":           {0.0, 0.0011, "1%"},
	"vectors.maxRunAgeDays":             {0.0, 366.0, 1.5},
	"vectors.loaderMemoryMiB":           {255.0, 5121.0, 512.5},
	"source.kind":                       {"mysql", ""},
	"source.scale":                      {0.0, 468.1, "one"},
	"source.seed":                       {-1.0, 1.5, "two"},
	"source.dumpUri":                    {"shop.sql", "s3://bucket", "s3://bucket/*.sql", "https://bucket/key"},
	"source.owner":                      {"--help", "(x)", "a\nb", strings.Repeat("a", 101)},
	"source.instanceClass":              {"t4g.micro", ""},
	"source.storageGiB":                 {19.0, 16385.0},
	"source.multiAz":                    {"no"},
	"source.backupRetentionDays":        {-1.0, 36.0},
	"source.deletionProtection":         {nil},
	"etl.flex":                          {"flex"},
	"etl.timeoutMinutes":                {4.0, 1441.0},
	"etl.schedule":                      {"daily", "rate(1 days)", "cron(0 3 * * *)", "cron(0 3 L * ? *)"},
	"etl.format":                        {"orc", "Parquet"},
	"etl.maxQuarantined":                {-0.1, 1.1, "1%"},
	"etl.connections":                   {0.0, 65.0},
	"etl.strategy":                      {"merge", "Latest"},
	"etl.lookbackDays":                  {-1.0, 36501.0, 1.5},
	"etl.driftRows":                     {-0.1, 1001.0},
	"etl.driftNulls":                    {-0.1, 1.1},
	"etl.driftMean":                     {-0.1, 4.1},
	"etl.driftNew":                      {-0.1, 1001.0},
	"etl.driftVanished":                 {-0.1, 1.1},
	"etl.driftLeast":                    {-1.0, 1000001.0},
	"etl.keepRuns":                      {0.0, 1001.0},
	"etl.quarantineRetentionDays":       {0.0, 366.0},
	"etl.scanLimitMiB":                  {9.0, 1048577.0},
	"streaming.mode":                    {"ondemand"},
	"streaming.shards": {0.0, 501.0, 1.5, "1e2", "two", "", true, []any{"2"},
		map[string]any{"a": 1.0}},
	"streaming.retentionHours":         {23.0, 8761.0},
	"streaming.bufferMiB":              {0.0, 129.0, 0.5},
	"streaming.bufferSeconds":          {-1.0, 901.0},
	"streaming.processorBufferMiB":     {0.1, 0.3, 3.0, "NaN", "Inf"},
	"streaming.processorBufferSeconds": {-1.0, 901.0},
	"streaming.batchSize":              {0.0, 10001.0},
	"streaming.batchWindowSeconds":     {-1.0, 301.0},
	"streaming.parallelization":        {0.0, 11.0},
	"streaming.retryAttempts":          {-1.0, 10001.0},
	"streaming.maxRecordAgeSeconds":    {59.0, 604801.0},
	"streaming.archiveRetentionDays":   {0.0, 3651.0},
	"streaming.archiveCompression":     {"zip", true},
	"streaming.archiveColdAfterDays":   {-1.0, 3651.0, "never"},
	"streaming.scanLimitMiB":           {9.0, 1048577.0},
	"streaming.errorRetentionDays":     {6.0, 15.0},
	"streaming.recommendationTtlHours": {0.0, 8761.0},
	"streaming.enhancedFanOut":         {"1"},
	"streaming.pointInTimeRecovery":    {"1"},
	"inference.memoryMiB":              {127.0, 10241.0},
	"inference.reservedConcurrency":    {-1.0, 1001.0},
	"inference.url":                    {"off"},
	"functions.logRetentionDays":       {0.0, 31.0},
	"functions.logLevel":               {"trace", "INFO", ""},
	"web.allowedCidrs":                 {"everybody", "203.0.113.7", "203.0.113.7/24", "::/0", "0.0.0.0/0,"},
	"web.certificateArn": {"mine", "arn:aws:iam::111122223333:server-certificate/mine",
		"arn:aws:acm:us-east-1:111122223333:certificate/"},
	"web.instanceType":               {"t4g.tiny", "db.t4g.micro", ""},
	"web.minInstances":               {1.0, 101.0},
	"web.maxInstances":               {1.0, 201.0},
	"web.requestsPerTargetPerMinute": {0.0, 1_000_001.0},
	"web.spotAboveMinimum":           {"yes"},
	"web.waf":                        {1.0},
	"web.refreshMinutes":             {0.0, 61.0},
	"web.frameAncestors": {"*", "http://example.com", "https://a.example.com; script-src *",
		"https://a.example.com  https://b.example.com"},
	"web.oidc.issuer":                {"http://id.example.com", "id.example.com", "https://id.example.com/?a=b"},
	"web.oidc.authorizationEndpoint": {"http://id.example.com/authorize"},
	"web.oidc.tokenEndpoint":         {"http://id.example.com/token"},
	"web.oidc.userInfoEndpoint":      {"http://id.example.com/user"},
	"web.oidc.clientId":              {"a b", "\"quoted\""},
	"web.oidc.clientSecretName":      {"a b", "arn:aws:secretsmanager:us-east-1:111122223333:secret:mine"},
	"web.shop":                       {"yes"},
	"web.shopOrigins": {"*", "null", "http://shop.example.com", "https://*.example.com", "https://Shop.example.com",
		"https://shop.example.com/", "https://shop.example.com:443", "https://shop.example.com:0",
		"https://a.example.com  https://b.example.com", "https://a.example.com,https://b.example.com"},
	"web.jwt.issuer":                  {"http://id.example.com", "id.example.com", "https://id.example.com/?a=b"},
	"web.jwt.jwksEndpoint":            {"http://id.example.com/keys", "https://id.example.com:99999/keys"},
	"web.jwt.audience":                {"a b", "*", strings.Repeat("a", 257)},
	"web.requestsPerSessionPerMinute": {0.0, 1_000_001.0, 1.5},
	"web.requestsPerTokenPerMinute":   {0.0, 1_000_001.0, "many"},
	"capacity.eventsPerSecond":        {0.0, 100001.0},
	"capacity.accountConcurrency":     {9.0, 100001.0},
}

func TestEachKeyRefusesBadValuesOnceByName(t *testing.T) {
	for _, k := range Keys() {
		require.NotEmpty(t, badValues[k.Name], "%s has no bad value in this test", k.Name)
		for _, value := range badValues[k.Name] {
			t.Run(fmt.Sprintf("%s=%v", k.Name, value), func(t *testing.T) {
				problems := problemsOf(t, map[string]any{k.Name: value})
				require.Len(t, problems, 1)
				assert.Equal(t, k.Name, problems[0].Key)
				assert.Contains(t, problems[0].Allowed, k.Allowed)
			})
		}
	}
	assert.Len(t, badValues, len(Keys()), "a bad value stands here for a key that is gone")
}

func TestRangesIncludeTheirEnds(t *testing.T) {
	for name, values := range map[string][]any{
		"network.cidr":                     {"10.0.0.0/16", "192.168.0.0/22", "172.31.0.0/16"},
		"name":                             {"ab", "a" + strings.Repeat("b", 19)},
		"streaming.bufferMiB":              {1.0, 128.0},
		"streaming.processorBufferMiB":     {0.2, MostProcessorBufferMiB},
		"streaming.maxRecordAgeSeconds":    {60.0, 86400.0},
		"streaming.errorRetentionDays":     {7.0, 14.0},
		"vectors.backupRetentionDays":      {0.0, 35.0},
		"alarms.email":                     {"", "team@example.com"},
		"network.reservedCidrs":            {"", []any{}, "0.0.0.0/32"},
		"functions.logRetentionDays":       {1.0, 3653.0},
		"streaming.bufferSeconds":          {0.0, 900.0},
		"streaming.archiveColdAfterDays":   {0.0},
		"streaming.scanLimitMiB":           {10.0, 1048576.0},
		"streaming.recommendationTtlHours": {1.0, 8760.0},
	} {
		for _, value := range values {
			_, err := Load(map[string]any{name: value})
			assert.NoError(t, err, "%s=%v", name, value)
		}
	}
}

func TestKeysOfCDKAreIgnored(t *testing.T) {
	want, err := Load(nil)
	require.NoError(t, err)
	for _, key := range []string{
		"aws:cdk:enable-path-metadata", "aws:cdk:bundling-stacks", "aws-cdk:enableDiffNoFail",
		"@aws-cdk/core:newStyleStackSynthesis",
		"@aws-cdk-containers/ecs-service-extensions:enableDefaultLogDriver", "cdk-migrate", "cli-telemetry",
		"acknowledged-issue-numbers",
		"availability-zones:account=123456789012:region=eu-west-1", "ami:account=1", "ssm:account=1",
		"cc-api-provider:account=1",
	} {
		c, err := Load(map[string]any{key: []any{1.0}})
		require.NoError(t, err, key)
		assert.Equal(t, want, c, key)
	}
}

func TestUnknownKeysAreRefusedWithTheNearestOne(t *testing.T) {
	for name, test := range map[string]struct{ key, suggestion string }{
		"two letters swapped": {"streaming.shrads", "streaming.shards"},
		"one letter missing":  {"network.cdr", "network.cidr"},
		"wrong case":          {"Vectors.MultiAZ", "vectors.multiAz"},
		"profile itself":      {"profil", "profile"},
		"a third differs":     {"namxe", "name"},
		"over a third":        {"naxxe", ""},
		"nothing near":        {"completely.different", ""},
		"empty":               {"", ""},
		"a novel":             {strings.Repeat("streaming.shards", 1000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			problems := problemsOf(t, map[string]any{test.key: "1"})
			require.Len(t, problems, 1)
			assert.Equal(t, test.suggestion, problems[0].Suggestion)
		})
	}
	nested := problemsOf(t, map[string]any{"inventory": map[string]any{"shards": 1.0}})
	assert.Contains(t, nested[0].Allowed, "flat")
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"name", "name", 0},
		{"shrads", "shards", 2}} {
		assert.Equal(t, test.want, distance(test.a, test.b), "%q %q", test.a, test.b)
	}
}

func TestAllProblemsComeInOneMessageSortedByKey(t *testing.T) {
	_, err := Load(map[string]any{
		"streaming.shards": "many", "network.cidr": "8.0.0.0/16", "netwrok.nat": "none",
		// A combination of keys that are right by themselves.
		"data.destroy": true, "data.removal": "retain",
	})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 5)
	assert.Equal(t, "4 configuration problems:", lines[0])
	for i, start := range []string{
		"data.destroy=true: ", "network.cidr=8.0.0.0/16: not a private range",
		"netwrok.nat=none: unknown key; did you mean network.nat?",
		"streaming.shards=many: must be a whole number from 1 to 500",
	} {
		assert.True(t, strings.HasPrefix(lines[i+1], "  "+start), lines[i+1])
	}

	_, err = Load(map[string]any{"name": "X"})
	assert.True(t, strings.HasPrefix(err.Error(), "1 configuration problem:\n"))
}

func TestMessagesStayOnTheirLine(t *testing.T) {
	for _, context := range []map[string]any{
		{"name": "a\nb\x1b[31m"}, {"x\ny": "1"}, {"streaming.shards": strings.Repeat("9", 5000)},
	} {
		_, err := Load(context)
		require.Error(t, err)
		assert.Equal(t, 1, strings.Count(err.Error(), "\n"))
		assert.NotContains(t, err.Error(), "\x1b")
		assert.Less(t, len(err.Error()), 500)
	}
}

func TestLongValuesAreShortened(t *testing.T) {
	assert.Equal(t, strings.Repeat("é", 60), shown(strings.Repeat("é", 60)))
	assert.Equal(t, strings.Repeat("é", 60)+"…", shown(strings.Repeat("é", 61)))
}

func TestABadProfileIsNotBlamedOnItsDefaults(t *testing.T) {
	problems := problemsOf(t, map[string]any{
		"profile": "prd", "capacity.eventsPerSecond": 5000.0, "streaming.shards": "x",
	})
	require.Len(t, problems, 2)
	assert.Equal(t, "profile", problems[0].Key)
	assert.Equal(t, "streaming.shards", problems[1].Key)
}

func TestCombinations(t *testing.T) {
	with := func(profile string, settings ...any) map[string]any {
		context := map[string]any{"profile": profile}
		for i := 0; i < len(settings); i += 2 {
			context[settings[i].(string)] = settings[i+1]
		}
		return context
	}
	const (
		events, account, reserved = "capacity.eventsPerSecond", "capacity.accountConcurrency",
			"inference.reservedConcurrency"
		shards, batch, parallel = "streaming.shards", "streaming.batchSize", "streaming.parallelization"
		mode, class             = "streaming.mode", "vectors.instanceClass"
		retention, recordAge    = "streaming.retentionHours", "streaming.maxRecordAgeSeconds"
		removal, destroy        = "data.removal", "data.destroy"
		cold, kept              = "streaming.archiveColdAfterDays", "streaming.archiveRetentionDays"
		ranges, protection      = "network.reservedCidrs", "vectors.deletionProtection"
		sourceProtection        = "source.deletionProtection"
		servers                 = "web.maxInstances"
	)
	for name, test := range map[string]struct {
		context map[string]any
		key     string // empty where it must load
		says    string
	}{
		"reserved network overlaps": {
			with(Lean, ranges, "192.168.0.0/16,10.0.0.0/8"), "network.cidr", "10.0.0.0/8"},
		"reserved network lies inside":    {with(Lean, ranges, "10.42.7.0/24"), "network.cidr", "10.42.7.0/24"},
		"reserved network is a neighbour": {with(Lean, ranges, "10.43.0.0/16"), "", ""},

		"destroy without the policy": {with(Standard, destroy, true), destroy, "data.removal=destroy"},
		"destroy what is protected": {
			with(Prod, destroy, true, removal, "destroy", sourceProtection, false), protection, "false"},
		"destroy what is not protected": {
			with(Prod, destroy, true, removal, "destroy", protection, false, sourceProtection, false), "", ""},

		"retries outlive the stream":     {with(Lean, recordAge, 86401.0), recordAge, "86400"},
		"retries within a longer stream": {with(Lean, recordAge, 86401.0, retention, 25.0), "", ""},
		"cold before S3 takes it":        {with(Prod, cold, 29.0), cold, "from 30 to 335,"},
		"cold for less than is charged":  {with(Prod, cold, 336.0), cold, "from 30 to 335,"},
		"cold as long as is charged":     {with(Prod, cold, 335.0), "", ""},
		"cold where all is gone before":  {with(Lean, cold, 30.0), cold, "must be 0,"},
		"kept for less than is charged":  {with(Prod, kept, 59.0), cold, "must be 0,"},
		"one shard, 750 events":          {with(Standard, events, 750.0, parallel, 8.0), "", ""},
		"one shard, 751 events":          {with(Standard, events, 751.0, parallel, 8.0), shards, "at least 2 "},
		"one shard, 2,500 events":        {with(Standard, events, 2500.0, parallel, 10.0), shards, "at least 4 "},
		"more shards come in steps":      {with(Standard, events, 2500.0, parallel, 10.0), shards, "at most double"},
		"on-demand within its start":     {with(Prod, events, 3000.0), "", ""},
		"on-demand beyond its start":     {with(Prod, events, 3001.0), mode, "at least 5 shards"},
		"too few batches at a time":      {with(Standard, events, 700.0), parallel, "at least 7 "},
		"shards share the batches": {
			with(Standard, events, 1400.0, batch, 200.0, shards, 2.0, parallel, 4.0), "", ""},
		"shards share the batches, too few": {
			with(Standard, events, 1400.0, batch, 200.0, shards, 2.0, parallel, 3.0), parallel, "at least 4 "},
		"the most batches at a time":       {with(Standard, events, 750.0, batch, 75.0, parallel, 10.0), "", ""},
		"batches too small for any number": {with(Standard, events, 700.0, batch, 10.0), batch, "at least 70 "},
		"batches too small for several": {
			with(Standard, events, 1400.0, batch, 10.0, shards, 2.0), batch, "at least 70 "},
		"new account, 2 batches at a time": {with(Lean, parallel, 2.0), "", ""},
		"new account, 3 batches at a time": {
			with(Lean, parallel, 3.0), account, "at least 11: 3 deliver, 1 transform, 4 inference and 3 other"},
		"new account, many batches": {with(Lean, parallel, 6.0), account, "streaming.parallelization to 2 or"},
		"new account, on-demand":    {with(Lean, mode, "on-demand"), account, "at least 19"},
		"no parallelization fits": {
			with(Lean, mode, "on-demand"), account, "streaming.parallelization or ask"},
		"an account that just holds it": {with(Lean, parallel, 3.0, account, 11.0), "", ""},
		"only the least fits": {
			with(Lean, shards, 2.0, parallel, 2.0, account, 11.0), account, "streaming.parallelization to 1 or"},
		"new account, any reservation":  {with(Lean, reserved, 4.0), reserved, "must be 0:"},
		"room for one reservation only": {with(Lean, reserved, 2.0, account, 102.0), "", ""},
		"reservation below its callers": {with(Standard, reserved, 2.0), reserved, "from 3,"},
		"reservation of its callers":    {with(Standard, reserved, 3.0), "", ""},
		"the largest reservation":       {with(Prod, class, "db.r7g.2xlarge", reserved, 900.0), "", ""},
		"reservation of the whole account": {
			with(Prod, class, "db.r7g.2xlarge", reserved, 901.0), reserved, "to 900,"},
		"as many as the database takes": {with(Lean, reserved, 15.0, account, 1000.0), "", ""},
		"one more than the database takes": {
			with(Lean, reserved, 16.0, account, 1000.0), class, "86 connections (this one has 84)"},
		"as many servers as the database takes": {with(Lean, reserved, 14.0, account, 1000.0, servers, 6.0), "", ""},
		"more servers than the database takes": {
			with(Lean, reserved, 14.0, account, 1000.0, servers, 7.0), class, "88 connections (this one has 84) for " +
				"14 inference executions at a time and the 11 web servers that web.maxInstances=7 makes while they " +
				"roll"},
		"database too small": {with(Prod, class, "db.t4g.small"), class, "such as db.t3.medium"},
		"no database is large enough": {
			with(Lean, reserved, 1000.0, account, 2000.0, parallel, 10.0, shards, 500.0), class, "at a time"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.key == "" {
				_, err := Load(test.context)
				require.NoError(t, err)
				return
			}
			for _, problem := range problemsOf(t, test.context) {
				if problem.Key == test.key {
					assert.Contains(t, problem.Allowed, test.says)
					return
				}
			}
			require.Fail(t, "no problem with "+test.key)
		})
	}
}

func TestMaxConnectionsFollowMemory(t *testing.T) {
	for class, want := range map[string]int{
		"db.t4g.micro": 84, "db.t4g.small": 168, "db.m7g.large": 675, "db.r7g.2xlarge": 5000, "unknown": 0,
	} {
		assert.Equal(t, want, Vectors{InstanceClass: class}.PostgreSQLMaxConnections(), class)
	}
}

// Beside the buffer pool a class has at least the 300 MiB that IAM logins want, once the system has
// taken its quarter.
func TestTheBufferPoolLeavesMemoryForLogins(t *testing.T) {
	for class, memory := range instanceMemoryGiB {
		var parts, of float64
		size := Source{InstanceClass: class}.MySQLBufferPool()
		_, err := fmt.Sscanf(size, "{DBInstanceClassMemory*%f/%f}", &parts, &of)
		require.NoError(t, err, class)
		assert.GreaterOrEqual(t, (1-parts/of)*0.75*float64(memory)*1024, 500.0, class)
	}
}

func TestConfigurationIsDocumented(t *testing.T) {
	accept.Region(t, "../docs/configuration.md", "keys", Markdown())
}

func TestSmallestClassWithEnoughConnections(t *testing.T) {
	for connections, want := range map[int]string{
		1: ", such as db.t3.micro", 84: ", such as db.t3.micro", 85: ", such as db.t3.small",
		5000: ", such as db.r7g.2xlarge",
		5001: "",
	} {
		assert.Equal(t, want, classFor(func(class string) bool {
			return Vectors{InstanceClass: class}.PostgreSQLMaxConnections() >= connections
		}), connections)
	}
}

func TestMarkdownShowsEveryKeyOnceInWholeRows(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(Markdown()), "\n")
	require.Len(t, lines, len(Keys())+2)
	for i, line := range lines {
		assert.Equal(t, strings.Count(lines[0], "|"), strings.Count(line, "|"), line)
		if i >= 2 {
			k := Keys()[i-2]
			assert.True(t, strings.HasPrefix(line, "| `"+k.Name+"` | "+k.Type+" |"), line)
			assert.Contains(t, line, k.Meaning)
		}
	}
}

func TestKeysAreCopied(t *testing.T) {
	Keys()[0].Name = "changed"
	Profiles()[0] = "changed"
	assert.Equal(t, "profile", Keys()[0].Name)
	assert.Equal(t, Lean, Profiles()[0])
}

// FuzzLoad: whatever cdk.json holds, Load neither panics nor returns a
// configuration whose data goes without both keys, nor an error without reasons.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"profile":"prod"}`, `{"streaming.shards":1e400}`,
		`{"network.reservedCidrs":["10.0.0.0/8",null]}`,
		`{"network.reservedCidrs":"0.0.0.0/0"}`, `{"profile":["prod"],"name":{"a":[]}}`,
		`{"capacity.eventsPerSecond":100000,"streaming.batchSize":1}`,
		`{"inference.reservedConcurrency":1000,"streaming.mode":"on-demand"}`,
		`{"":"","@aws-cdk/x":1,"data.destroy":"true"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var context map[string]any
		if json.Unmarshal(data, &context) != nil {
			return
		}
		c, err := Load(context)
		if err == nil {
			if c.Network.CIDR.Bits() < 16 || c.Network.CIDR.Bits() > 22 || len(c.capacityProblems()) > 0 {
				t.Fatalf("accepted %+v", c)
			}
			return
		}
		var problems *Problems
		if !errors.As(err, &problems) || len(problems.List) == 0 {
			t.Fatalf("no reasons: %v", err)
		}
		if strings.Count(err.Error(), "\n") != len(problems.List) {
			t.Fatalf("not one line a problem: %q", err)
		}
	})
}

// FuzzCapacity: an accepted configuration holds its load by plain arithmetic.
func FuzzCapacity(f *testing.F) {
	f.Add(uint16(10), uint8(1), uint16(100), uint8(1), uint16(0), uint16(10), false)
	f.Add(uint16(2500), uint8(4), uint16(200), uint8(4), uint16(50), uint16(1000), true)
	f.Fuzz(func(t *testing.T, events uint16, shards uint8, batch uint16, parallel uint8, reserved, account uint16,
		onDemand bool) {
		mode := ModeProvisioned
		if onDemand {
			mode = ModeOnDemand
		}
		c, err := Load(map[string]any{
			"capacity.eventsPerSecond": int(events), "capacity.accountConcurrency": int(account),
			"streaming.mode": mode, "streaming.shards": int(shards), "streaming.batchSize": int(batch),
			"streaming.parallelization": int(parallel), "inference.reservedConcurrency": int(reserved),
		})
		if err != nil {
			return
		}
		n := int(shards)
		if onDemand {
			n = 4
		}
		if int(events) > n*750 || int(events) > n*int(parallel)*int(batch) {
			t.Fatalf("%d shards cannot hold %d events", n, events)
		}
		if reserved > 0 && (int(account)-int(reserved) < 100 || int(reserved) < n*int(parallel)+n) {
			t.Fatalf("reservation %d does not fit", reserved)
		}
		inference := max(n*int(parallel)+n, int(reserved))
		const servers = 6
		if inference*4+servers*2+10 > c.Vectors.PostgreSQLMaxConnections() ||
			n*int(parallel)+n+inference+3 > int(account) {
			t.Fatalf("%d inference executions do not fit", inference)
		}
	})
}

func TestBatchKeysAreCheckedAgainstEachOther(t *testing.T) {
	cases := map[string]struct {
		context map[string]any
		key     string
		want    string
	}{
		"a dump without its place": {map[string]any{"source.kind": "dump"}, "source.dumpUri",
			"must be s3://bucket/key where source.kind=dump"},
		"a place without a dump": {map[string]any{"source.dumpUri": "s3://bucket/shop.sql"}, "source.dumpUri",
			"set source.kind=dump to load it"},
		"a place that is a pattern": {map[string]any{"source.kind": "dump", "source.dumpUri": "s3://bucket/*"},
			"source.dumpUri", "s3://bucket/key, or empty"},
		"a scale in hundredths": {map[string]any{"source.scale": 1.25}, "source.scale", "one decimal at most"},
		"a scale that the loader does not hold": {map[string]any{"source.scale": 469}, "source.scale",
			"from 0.1 to 468"},
		"an owner that reads as an option": {map[string]any{"source.owner": "--help"}, "source.owner",
			"the first a letter or digit"},
		"executions that would meet": {map[string]any{"etl.schedule": "rate(59 minutes)"}, "etl.schedule",
			"must start at least 60 minutes apart, and starts 59 apart: the job runs once at a time, and an " +
				"execution " +
				"takes up to etl.timeoutMinutes=15, 30 of waiting for capacity and 15 around it"},
		"executions of a longer job that would meet": {
			map[string]any{"etl.schedule": "cron(0 0,2 * * ? *)", "etl.timeoutMinutes": 76}, "etl.schedule",
			"must start at least 121 minutes apart, and starts 120 apart"},
		"a schedule that its alarm cannot watch": {map[string]any{"etl.schedule": "rate(85 hours)"}, "etl.schedule",
			"must start at most 84 hours apart, and starts up to 85 apart: its alarm looks back over twice that, and " +
				"CloudWatch lets an alarm look back 168 hours"},
		"a month's schedule": {map[string]any{"etl.schedule": "cron(0 3 1 * ? *)"}, "etl.schedule",
			"starts up to 744 apart"},
		"more connections than the class leaves the job": {map[string]any{"etl.connections": 43},
			"source.instanceClass", "must be a class with 65 connections (this one has 64): etl.connections=43, 2 for" +
				" each of the 6 web servers that web.maxInstances=4 makes while they roll, and 10 for others, such as" +
				" db.t3.small"},
		"more connections than the class leaves the servers": {map[string]any{"web.maxInstances": 17},
			"source.instanceClass", "must be a class with 66 connections (this one has 64): etl.connections=4, 2 for " +
				"each of the 26 web servers"},
		"a protected database that shall go": {
			map[string]any{"data.destroy": true, "source.deletionProtection": true}, "source.deletionProtection",
			"must be false where data.removal=destroy and data.destroy=true"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			problems := problemsOf(t, c.context)
			require.Len(t, problems, 1)
			assert.Equal(t, c.key, problems[0].Key)
			assert.Contains(t, problems[0].String(), c.want)
		})
	}
	c, err := Load(map[string]any{"source.kind": "dump", "source.dumpUri": "s3://my-bucket/dumps/shop.sql.gz",
		"source.owner": "Ada Lovelace <ada@example.com>", "etl.connections": 42, "source.scale": 1.2,
		"etl.maxQuarantined": 1})
	require.NoError(t, err)
	assert.Zero(t, c.ETL.QuietHours(), "nothing starts by itself, and nothing is missed")
	assert.Equal(t, "Ada Lovelace <ada@example.com>", c.Source.Owner)
}

// The alarm looks back over twice the longest time between two starts, in whole hours, and
// CloudWatch takes at most 168 of them.
func TestScheduleAndItsAlarm(t *testing.T) {
	for schedule, hours := range map[string]int{
		"rate(60 minutes)": 2, "rate(100 minutes)": 4, "rate(1 day)": 48, "cron(0 3 * * ? *)": 48,
		"cron(0 0,6 * * ? *)": 36, "cron(0 3 ? * MON-FRI *)": 144, "rate(84 hours)": 168,
	} {
		c, err := Load(map[string]any{"etl.schedule": schedule})
		require.NoError(t, err, schedule)
		assert.Equal(t, hours, c.ETL.QuietHours(), schedule)
	}
}
