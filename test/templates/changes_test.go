package templates

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/config"
	"diecast/internal/local/installed"
	"diecast/test/accept"
	"diecast/test/templates/rollout"
)

const deploying = "../../docs/deploying.md"

// platform is an assembly as a rollout sees it.
func platform(a assembly) rollout.Platform {
	p := rollout.Platform{Templates: raw(a)}
	for len(p.Order) < len(a.dependencies) {
		for _, stack := range slices.Sorted(maps.Keys(a.dependencies)) {
			ready := !slices.ContainsFunc(a.dependencies[stack], func(other string) bool {
				return !slices.Contains(p.Order, other)
			})
			if ready && !slices.Contains(p.Order, stack) {
				p.Order = append(p.Order, stack)
			}
		}
	}
	return p
}

// platforms keeps those that were synthesized for a change, by their settings.
var platforms = map[string]rollout.Platform{}

// platformOf builds the platform of a configuration.
func platformOf(t *testing.T, settings []string) rollout.Platform {
	t.Helper()
	key := strings.Join(settings, " ")
	if _, ok := platforms[key]; !ok {
		// What another test has synthesized serves: cdk-nag's look at it changes no template.
		built, ok := synthesized[key]
		if !ok {
			built = build(t, settings, func(awscdk.App) {})
		}
		platforms[key] = platform(built)
	}
	return platforms[key]
}

// known is what cfn-lint knows of the types that were asked for so far.
var known rollout.Knowledge

// deploy takes a platform from one configuration to another.
func deploy(t *testing.T, from, to rollout.Platform) rollout.Result {
	t.Helper()
	if !known.Covers(from, to) {
		python, err := installed.Python()
		require.NoError(t, err)
		known, err = rollout.ReadKnowledge(python, append(slices.Collect(maps.Values(platforms)), from, to)...)
		require.NoError(t, err)
	}
	return rollout.Deploy(from, to, known)
}

// change is one from a profile to another.
type change struct{ from, to string }

// held are the values to give beside the new profile: first those of one
// deployment, then those of the next, and so on. The last stay as long as the
// platform stands. Every other profile takes the place of every other at once.
var held = map[change][][]string{
	{config.Prod, config.Lean}:     fromProd("capacity.accountConcurrency=1000"),
	{config.Prod, config.Standard}: fromProd(),
	{config.Prod, config.Course}:   fromProd("capacity.accountConcurrency=1000"),
}

// fromProd keeps the disks, and halves the shards of an on-demand stream that has
// not grown, which an account of ten executions would not hold.
func fromProd(atFirst ...string) [][]string {
	disks := []string{"vectors.storageGiB=100", "source.storageGiB=100"}
	return [][]string{slices.Concat(disks, []string{"streaming.shards=2"}, atFirst), disks}
}

func TestProfiles_eachTakesThePlaceOfEachOther(t *testing.T) {
	for _, from := range profiles {
		for _, to := range profiles {
			if from == to {
				continue
			}
			t.Run(from+" to "+to, func(t *testing.T) {
				at := platformOf(t, []string{"profile=" + from})
				steps := held[change{from, to}]
				if steps == nil {
					steps = [][]string{nil}
				} else {
					alone := platformOf(t, []string{"profile=" + to})
					assert.NotEmpty(t, deploy(t, at, alone).Obstacles, "nothing has to be held")
				}
				for _, step := range steps {
					next := platformOf(t, append([]string{"profile=" + to}, step...))
					result := deploy(t, at, next)
					assert.Empty(t, result.Obstacles)
					keepsData(t, result)
					at = next
				}
			})
		}
	}
}

// keepsData: what holds data is neither replaced nor removed by any change.
func keepsData(t *testing.T, result rollout.Result) {
	t.Helper()
	for _, effect := range result.Effects {
		if slices.Contains(statefulTypes, effect.Type) {
			stands := []rollout.Kind{rollout.Added, rollout.Updated, rollout.Interrupted}
			assert.Contains(t, stands, effect.Kind, "%s/%s is %s", effect.Stack, effect.Resource, effect.Kind)
		}
	}
}

// bases are what single keys are changed in: the largest platform and the smallest.
var bases = []string{config.Prod, config.Lean}

// otherValue is what a key is changed to.
type otherValue struct {
	values []string
	// with are settings on both sides, where the configuration's rules ask for them.
	with []string
}

var (
	unprotected = []string{"data.removal=destroy", "vectors.deletionProtection=false",
		"source.deletionProtection=false"}
	largeAccount = []string{"capacity.accountConcurrency=1000"}
	// login is all that people log in with.
	login = append([]string{"network.nat=gateway"}, loggedIn[1:]...)
	// token is all that shops show a token with.
	token = append([]string{"web.allowedCidrs=198.51.100.0/24", aCertificate}, aToken...)
)

// otherValues are for every key but profile and name.
var otherValues = map[string]otherValue{
	"alarms.email":                 {values: []string{"one@example.com", "another@example.com"}},
	"data.removal":                 {values: []string{"retain", "destroy"}},
	"data.destroy":                 {values: []string{"true"}, with: unprotected},
	"vectors.minCatalogueOverlap":  {values: []string{"0.9"}},
	"vectors.minPreviousOverlap":   {values: []string{"0.6"}},
	"vectors.maxVanished":          {values: []string{"0.3"}},
	"vectors.lengthTolerance":      {values: []string{"0.0001"}},
	"vectors.maxRunAgeDays":        {values: []string{"7"}},
	"vectors.loaderMemoryMiB":      {values: []string{"1024"}},
	"data.accessLogs":              {values: []string{"true", "false"}},
	"data.accessLogRetentionDays":  {values: []string{"60"}},
	"network.cidr":                 {values: []string{"10.43.0.0/16", "10.42.0.0/20"}},
	"network.reservedCidrs":        {values: []string{"192.168.0.0/16"}},
	"network.nat":                  {values: []string{"none", "instance", "gateway"}},
	"network.natGateways":          {values: []string{"1", "2"}, with: []string{"network.nat=gateway"}},
	"network.sessionManager":       {values: []string{"true"}, with: []string{"network.nat=none"}},
	"network.endpointPerZone":      {values: []string{"true", "false"}, with: []string{"network.nat=none"}},
	"network.flowLogRetentionDays": {values: []string{"14"}},
	"databases.certificateAuthorities": {values: []string{strings.TrimPrefix(further,
		"databases.certificateAuthorities=")}},
	"databases.autoMinorVersionUpgrade": {values: []string{"true", "false"}},
	"vectors.engineVersion":             {values: []string{"18.7"}},
	"vectors.generation":                {values: []string{"2"}},
	"source.engineVersion":              {values: []string{"8.4.12"}},
	"source.generation":                 {values: []string{"2"}},
	"vectors.instanceClass":             {values: []string{"db.t4g.medium", "db.m7g.xlarge"}},
	"vectors.storageGiB":                {values: []string{"200"}},
	"vectors.multiAz":                   {values: []string{"true", "false"}},
	"vectors.backupRetentionDays":       {values: []string{"0", "21"}},
	"vectors.deletionProtection":        {values: []string{"true", "false"}},
	"source.kind":                       {values: []string{"sample", "empty"}},
	"source.scale":                      {values: []string{"2.5"}},
	"source.seed":                       {values: []string{"2"}},
	"source.dumpUri": {values: []string{"s3://my-bucket/another.sql"},
		with: []string{"source.kind=dump", "source.dumpUri=s3://my-bucket/one.sql"}},
	"source.owner":                {values: []string{"Ada Lovelace"}},
	"source.instanceClass":        {values: []string{"db.t4g.medium", "db.m7g.xlarge"}},
	"source.storageGiB":           {values: []string{"200"}},
	"source.multiAz":              {values: []string{"true", "false"}},
	"source.backupRetentionDays":  {values: []string{"0", "21"}},
	"source.deletionProtection":   {values: []string{"true", "false"}},
	"etl.flex":                    {values: []string{"true", "false"}},
	"etl.timeoutMinutes":          {values: []string{"30"}},
	"etl.schedule":                {values: []string{"cron(0 3 * * ? *)", "rate(12 hours)"}},
	"etl.format":                  {values: []string{"csv"}},
	"etl.maxQuarantined":          {values: []string{"0.05"}},
	"etl.strategy":                {values: []string{"latest", "average"}},
	"etl.lookbackDays":            {values: []string{"1"}},
	"etl.driftRows":               {values: []string{"1"}},
	"etl.driftNulls":              {values: []string{"0.2"}},
	"etl.driftMean":               {values: []string{"1"}},
	"etl.driftNew":                {values: []string{"1"}},
	"etl.driftVanished":           {values: []string{"0.2"}},
	"etl.driftLeast":              {values: []string{"10"}},
	"etl.connections":             {values: []string{"2"}},
	"etl.keepRuns":                {values: []string{"7"}},
	"etl.quarantineRetentionDays": {values: []string{"3"}},
	"etl.scanLimitMiB":            {values: []string{"100"}},
	"streaming.mode":              {values: []string{"provisioned", "on-demand"}, with: largeAccount},
	"streaming.shards": {values: []string{"2", "4", "5"},
		with: append([]string{"streaming.mode=provisioned"}, largeAccount...)},
	"streaming.retentionHours":         {values: []string{"48"}},
	"streaming.bufferMiB":              {values: []string{"32"}},
	"streaming.bufferSeconds":          {values: []string{"120"}},
	"streaming.processorBufferMiB":     {values: []string{"0.25"}},
	"streaming.processorBufferSeconds": {values: []string{"30"}},
	"streaming.batchSize":              {values: []string{"300"}},
	"streaming.batchWindowSeconds":     {values: []string{"1"}},
	"streaming.parallelization":        {values: []string{"2"}},
	"streaming.enhancedFanOut":         {values: []string{"true", "false"}},
	"streaming.retryAttempts":          {values: []string{"7"}},
	"streaming.maxRecordAgeSeconds":    {values: []string{"600"}},
	"streaming.archiveRetentionDays":   {values: []string{"60"}},
	"streaming.archiveCompression":     {values: []string{"none", "gzip"}},
	"streaming.archiveColdAfterDays": {values: []string{"30", "60"},
		with: []string{"streaming.archiveRetentionDays=90"}},
	"streaming.scanLimitMiB":           {values: []string{"100"}},
	"streaming.errorRetentionDays":     {values: []string{"10"}},
	"streaming.recommendationTtlHours": {values: []string{"48"}},
	"streaming.pointInTimeRecovery":    {values: []string{"true", "false"}},
	"inference.memoryMiB":              {values: []string{"768"}},
	"inference.reservedConcurrency": {values: []string{"0", "60"},
		with: append([]string{"vectors.instanceClass=db.m7g.large"}, largeAccount...)},
	"inference.url":    {values: []string{"false"}},
	"web.allowedCidrs": {values: []string{"198.51.100.0/24", "198.51.100.0/24,203.0.113.7/32", "0.0.0.0/0"}},
	"web.certificateArn": {values: []string{strings.TrimPrefix(aCertificate, "web.certificateArn=")},
		with: []string{"web.allowedCidrs=198.51.100.0/24"}},
	"web.instanceType":                {values: []string{"t4g.micro", "t3.nano", "m7g.large"}},
	"web.minInstances":                {values: []string{"3"}},
	"web.maxInstances":                {values: []string{"6"}},
	"web.requestsPerTargetPerMinute":  {values: []string{"600"}},
	"web.spotAboveMinimum":            {values: []string{"true"}},
	"web.waf":                         {values: []string{"true", "false"}},
	"web.refreshMinutes":              {values: []string{"10"}},
	"web.frameAncestors":              {values: []string{"https://intranet.example.com"}},
	"web.oidc.issuer":                 {values: []string{"https://other.example.com"}, with: login},
	"web.oidc.authorizationEndpoint":  {values: []string{"https://other.example.com/authorize"}, with: login},
	"web.oidc.tokenEndpoint":          {values: []string{"https://other.example.com/token"}, with: login},
	"web.oidc.userInfoEndpoint":       {values: []string{"https://other.example.com/user"}, with: login},
	"web.oidc.clientId":               {values: []string{"another"}, with: login},
	"web.oidc.clientSecretName":       {values: []string{"another/secret"}, with: login},
	"web.shop":                        {values: []string{"true"}, with: []string{"network.nat=gateway"}},
	"web.shopOrigins":                 {values: []string{"https://shop.example.com"}, with: token},
	"web.jwt.issuer":                  {values: []string{"https://other.example.com/"}, with: token},
	"web.jwt.jwksEndpoint":            {values: []string{"https://other.example.com/keys"}, with: token},
	"web.jwt.audience":                {values: []string{"another"}, with: token},
	"web.requestsPerSessionPerMinute": {values: []string{"60"}},
	"web.requestsPerTokenPerMinute":   {values: []string{"60000"}, with: token},
	"functions.logRetentionDays":      {values: []string{"14"}},
	"functions.logLevel":              {values: []string{"debug", "warn"}},
	"capacity.eventsPerSecond":        {values: []string{"20"}},
	"capacity.accountConcurrency":     {values: []string{"2000"}},
}

// unchangeable are the obstacles that single keys meet, by rule; every other
// change of one key goes at once.
var unchangeable = map[string][]string{
	"network.cidr":          {rollout.KeepExports},
	"vectors.storageGiB":    {rollout.KeepDisk},
	"vectors.engineVersion": {rollout.KeepVersion},
	"source.storageGiB":     {rollout.KeepDisk},
	"source.engineVersion":  {rollout.KeepVersion},
	"streaming.mode":        {rollout.ScaleShards},
	"streaming.shards":      {rollout.ScaleShards},
}

// TestKeys_changeInOneDeployment changes every key by itself, back and forth, in
// the largest platform, and writes what it found into docs/deploying.md. A key that
// there does more than update what stands, or has another default in the smallest
// platform, is changed in that one, too.
func TestKeys_changeInOneDeployment(t *testing.T) {
	var table strings.Builder
	table.WriteString("| Key | What a change does | What is refused |\n| --- | --- | --- |\n")
	rows := 0
	for _, key := range config.Keys() {
		other, ok := otherValues[key.Name]
		if key.Name == "profile" || key.Name == "name" {
			require.False(t, ok, key.Name)
			continue
		}
		require.NotEmpty(t, other.values, "%s has no other value in this test", key.Name)
		t.Run(key.Name, func(t *testing.T) {
			found := summary{}
			for _, base := range bases {
				if base != bases[0] && found.updates() && key.Default(base) == key.Default(bases[0]) {
					continue
				}
				for _, value := range other.values {
					if changed := key.Name + "=" + value; value != key.Default(base) {
						settings := append([]string{"profile=" + base}, other.with...)
						from, to := platformOf(t, settings), platformOf(t, slices.Concat(settings, []string{changed}))
						found.add(deploy(t, from, to))
						found.add(deploy(t, to, from))
					}
				}
			}
			keepsData(t, found.Result)
			assert.ElementsMatch(t, unchangeable[key.Name], found.rules())
			fmt.Fprintf(&table, "| `%s` | %s | %s |\n", key.Name, found.does(), found.refuses())
			rows++
		})
	}
	assert.Len(t, otherValues, len(config.Keys())-2, "a value stands here for a key that is gone")
	// A part of the keys (-run TestKeys.../key), or one that failed, makes no table.
	if rows == len(config.Keys())-2 && !t.Failed() {
		accept.Region(t, deploying, "keys", table.String())
	}
}

// summary is what several rollouts did.
type summary struct{ rollout.Result }

func (s *summary) add(r rollout.Result) {
	s.Effects = append(s.Effects, r.Effects...)
	s.Obstacles = append(s.Obstacles, r.Obstacles...)
}

// updates says whether resources that stand were updated, and nothing else was done or refused.
func (s *summary) updates() bool {
	return len(s.Effects) > 0 && len(s.Obstacles) == 0 &&
		!slices.ContainsFunc(s.Effects, func(effect rollout.Effect) bool { return effect.Kind != rollout.Updated })
}

func (s *summary) rules() []string {
	rules := map[string]bool{}
	for _, obstacle := range s.Obstacles {
		rules[obstacle.Rule] = true
	}
	return slices.Sorted(maps.Keys(rules))
}

// does tells what happens to which types, without refused changes' own.
func (s *summary) does() string {
	if len(s.Effects) == 0 {
		return "nothing by itself"
	}
	if slices.Contains(s.rules(), rollout.KeepExports) {
		return "none can be deployed"
	}
	// By kind, then by stack.
	types := map[rollout.Kind]map[string][]string{}
	for _, effect := range s.Effects {
		// Both ways were tried: what one adds, the other removes.
		kind, name := effect.Kind, strings.TrimPrefix(effect.Type, "AWS::")
		if kind == rollout.Removed {
			kind = rollout.Added
		}
		if types[kind] == nil {
			types[kind] = map[string][]string{}
		}
		if !slices.Contains(types[kind][effect.Stack], name) {
			types[kind][effect.Stack] = append(types[kind][effect.Stack], name)
		}
	}
	var said []string
	for _, one := range []struct {
		kind rollout.Kind
		verb string
	}{
		{rollout.Replaced, "replaces"}, {rollout.Interrupted, "interrupts"}, {rollout.Updated, "updates"},
		{rollout.Added, "adds or removes"},
	} {
		for _, stack := range slices.Sorted(maps.Keys(types[one.kind])) {
			names := slices.Sorted(slices.Values(types[one.kind][stack]))
			said = append(said, one.verb+" in "+stack+": "+strings.Join(names, ", "))
		}
	}
	return strings.Join(said, "; ")
}

func (s *summary) refuses() string {
	said := map[string]bool{}
	for _, obstacle := range s.Obstacles {
		said[fmt.Sprintf("%s: %s", obstacle.Kind, obstacle.Rule)] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(said)), "; ")
}

// TestProfiles_areDocumented writes which values to hold from one profile to
// another.
func TestProfiles_areDocumented(t *testing.T) {
	var table strings.Builder
	table.WriteString("| From | To | First deployment | Later ones |\n| --- | --- | --- | --- |\n")
	for _, from := range profiles {
		var free []string
		for _, to := range profiles {
			steps := held[change{from, to}]
			if from != to && steps == nil {
				free = append(free, to)
			}
			if steps != nil {
				cells := make([]string, 0, len(steps))
				for _, step := range steps {
					cells = append(cells, "`-c "+strings.Join(append([]string{"profile=" + to}, step...), " -c ")+"`")
				}
				fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", from, to, cells[0], strings.Join(cells[1:], ", then "))
			}
		}
		if len(free) > 0 {
			fmt.Fprintf(&table, "| %s | %s | `-c profile=...` alone | |\n", from, strings.Join(free, ", "))
		}
	}
	accept.Region(t, deploying, "profiles", table.String())
}

// What the test must catch is planted in the real templates.
func TestProfiles_breachIsCaught(t *testing.T) {
	for name, test := range map[string]struct {
		plant func(from, to rollout.Platform)
		rule  string
	}{
		"an export goes": {func(_, to rollout.Platform) {
			outputs := to.Templates["Network"]["Outputs"].(map[string]any)
			maps.DeleteFunc(outputs, func(name string, _ any) bool {
				return strings.HasPrefix(name, "ExportsOutputRefNetworkVpc")
			})
		}, rollout.KeepExports},
		"an import comes before its export": {func(from, to rollout.Platform) {
			environment := propertiesOf(to, "Streaming", "AWS::Lambda::Function")["Environment"].(map[string]any)
			variables := environment["Variables"].(map[string]any)
			variables["PLANTED"] = map[string]any{"Fn::ImportValue": "diecast-Network:Planted"}
		}, rollout.ExportFirst},
		"what is exported is replaced": {func(_, to rollout.Platform) {
			propertiesOf(to, "Network", "AWS::EC2::VPC")["CidrBlock"] = "10.99.0.0/16"
		}, rollout.KeepExports},
		"what is exported is replaced through another": {func(_, to rollout.Platform) {
			propertiesOf(to, "Vectors", "AWS::EC2::SecurityGroup")["GroupDescription"] = "another"
		}, rollout.KeepExports},
		"a rule gets another id": {func(_, to rollout.Platform) {
			resources := to.Templates["Vectors"]["Resources"].(map[string]any)
			for id, one := range resources {
				if one.(map[string]any)["Type"] == "AWS::EC2::SecurityGroupIngress" {
					resources[id+"Anew"] = one
					delete(resources, id)
					return
				}
			}
		}, rollout.RemoveLast},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := copied(t, "lean"), copied(t, "standard")
			require.Empty(t, deploy(t, from, to).Obstacles)
			test.plant(from, to)
			var rules []string
			for _, obstacle := range deploy(t, from, to).Obstacles {
				rules = append(rules, obstacle.Rule)
			}
			assert.Contains(t, rules, test.rule)
		})
	}
}

// copied is the platform of a profile, free to be changed.
func copied(t *testing.T, profile string) rollout.Platform {
	t.Helper()
	return copiedOf(t, []string{"profile=" + profile})
}

func copiedOf(t *testing.T, settings []string) rollout.Platform {
	t.Helper()
	p := platformOf(t, settings)
	p.Templates = maps.Clone(p.Templates)
	for stack, template := range p.Templates {
		var anew map[string]any
		require.NoError(t, json.Unmarshal(compact(template), &anew))
		p.Templates[stack] = anew
	}
	return p
}

// propertiesOf are those of a stack's first resource of a type, by id.
func propertiesOf(p rollout.Platform, stack, kind string) map[string]any {
	resources := p.Templates[stack]["Resources"].(map[string]any)
	for _, id := range slices.Sorted(maps.Keys(resources)) {
		if one := resources[id].(map[string]any); one["Type"] == kind {
			return one["Properties"].(map[string]any)
		}
	}
	panic("no " + kind + " in " + stack)
}
