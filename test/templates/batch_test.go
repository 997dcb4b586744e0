package templates

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/local/installed"
	"diecast/internal/trainingset"
	"diecast/sql"
)

// dumped is the batch path with everything that a profile leaves at its default.
var dumped = []string{"profile=lean", "etl.format=csv", "source.kind=dump",
	"source.dumpUri=s3://my-bucket/dumps/shop.sql",
	"source.owner=Ada Lovelace <ada@example.com>"}

func etlJob(t *testing.T, settings ...string) (job resource, arguments map[string]any) {
	t.Helper()
	job = one(t, synth(t, settings...).templates["Batch"], "AWS::Glue::Job")
	arguments, _ = job.Properties["DefaultArguments"].(map[string]any)
	return job, arguments
}

// ofGlue are the arguments of a job that mean something to Glue (developer guide, "Using job
// parameters in AWS Glue jobs").
var ofGlue = []string{"--job-language", "--job-bookmark-option", "--custom-logGroup-prefix", "--extra-jars",
	"--user-jars-first"}

// parameters are the arguments of the script's own parser.
func parameters(script string) []string {
	var names []string
	for _, found := range regexp.MustCompile(`\badd\(\s*"(--[a-z-]+)"`).FindAllStringSubmatch(script, -1) {
		names = append(names, found[1])
	}
	return names
}

// TestBatch_argumentsAreTheScriptsParameters: a misspelt argument would be left alone by the
// script, which then runs with a default.
func TestBatch_argumentsAreTheScriptsParameters(t *testing.T) {
	script, err := os.ReadFile("../../glue-scripts/ratings_etl.py")
	require.NoError(t, err)
	known := parameters(string(script))
	require.Contains(t, known, "--lake-bucket")
	_, arguments := etlJob(t, dumped...)
	given := []string{"--run-id", "--since", "--until", "--erased"} // for who starts a run
	for name, value := range arguments {
		assert.NotEmpty(t, value, "%s: Glue would take the next argument's name as its value", name)
		if !slices.Contains(ofGlue, name) {
			given = append(given, name)
		}
	}
	assert.ElementsMatch(t, known, given)

	assert.Equal(t, []string{"--one", "--two"}, parameters(`add("--one", default="x")`+"\nadd(\n    \"--two\",\n)"))
}

func TestBatch_argumentsFollowTheConfiguration(t *testing.T) {
	_, arguments := etlJob(t, "profile=lean")
	for name, want := range map[string]string{
		"--format": "parquet", "--max-quarantined": "0.01", "--keep-runs": "5", "--connections": "4",
		"--source-database": "classicmodels", "--source-user": sql.ETLReader, "--source-kind": "generated",
		"--source-detail": "scale=1 seed=1", "--job-bookmark-option": "job-bookmark-disable",
	} {
		assert.Equal(t, want, arguments[name], name)
	}
	assert.NotContains(t, arguments, "--source-owner", "nobody is named in lean")
	assert.NotContains(t, arguments, "--enable-glue-datacatalog",
		"there is no endpoint of Glue in the VPC: calls would hang")

	_, arguments = etlJob(t, dumped...)
	for name, want := range map[string]string{
		"--format": "csv", "--source-kind": "dump", "--source-detail": "s3://my-bucket/dumps/shop.sql",
		"--source-owner": "Ada Lovelace <ada@example.com>",
	} {
		assert.Equal(t, want, arguments[name], name)
	}
	_, arguments = etlJob(t, "profile=lean", "source.kind=empty")
	assert.Equal(t, "mysql", arguments["--source-kind"])
	assert.NotContains(t, arguments, "--source-detail", "the script names host and database itself")
}

// TestBatch_metricsAreWhatTheScriptPrints: a misspelt name would be a metric without values.
func TestBatch_metricsAreWhatTheScriptPrints(t *testing.T) {
	script, err := os.ReadFile("../../glue-scripts/ratings_etl.py")
	require.NoError(t, err)
	_, body, _ := strings.Cut(string(script), "def tell_measures(")
	body, _, _ = strings.Cut(body, "\ndef ")
	var printed, found []string
	for _, name := range regexp.MustCompile(`"([A-Z][A-Za-z]+)":`).FindAllStringSubmatch(body, -1) {
		printed = append(printed, name[1])
	}
	require.Contains(t, body, `{"etlMeasures":`)
	for _, r := range synth(t, "profile=lean").templates["Batch"].Resources {
		if r.Type == "AWS::Logs::MetricFilter" && strings.Contains(fmt.Sprint(r.Properties["FilterPattern"]), "etl") {
			made := r.Properties["MetricTransformations"].([]any)[0].(map[string]any)
			value := fmt.Sprintf("$.etlMeasures.%s", made["MetricName"])
			assert.Equal(t, value, made["MetricValue"])
			assert.Equal(t, "{ "+value+" = * }", r.Properties["FilterPattern"])
			found = append(found, fmt.Sprint(made["MetricName"]))
		}
	}
	assert.NotEmpty(t, printed)
	assert.ElementsMatch(t, printed, found)
}

func TestBatch_jobIsBounded(t *testing.T) {
	for _, profile := range profiles {
		job, _ := etlJob(t, "profile="+profile)
		for property, want := range map[string]any{
			"GlueVersion": "5.1", "WorkerType": "G.1X", "NumberOfWorkers": 2.0, "Timeout": 15.0, "MaxRetries": 0.0,
			"JobRunQueuingEnabled": false,
			"ExecutionClass": map[bool]string{true: "FLEX", false: "STANDARD"}[profile == "lean" ||
				profile == "standard"],
			"ExecutionProperty": map[string]any{"MaxConcurrentRuns": 1.0},
		} {
			assert.Equal(t, want, job.Properties[property], "%s %s", profile, property)
		}
		assert.Equal(t, "glueetl", job.Properties["Command"].(map[string]any)["Name"])
		assert.Contains(t, string(compact(job.DependsOn)), "EtlRoleDefaultPolicy",
			"Glue takes the role as it is when a run starts")
		assert.Equal(t, "glue-scripts/ratings_etl.py", job.Metadata["diecast:source"])
	}
}

// TestBatch_connectionHoldsNoLoginAndNamesItsSubnetsZone: a zone that is not the subnet's lets
// every run fail.
func TestBatch_connectionHoldsNoLoginAndNamesItsSubnetsZone(t *testing.T) {
	for _, profile := range profiles {
		built := synth(t, "profile="+profile)
		input := one(t, built.templates["Batch"],
			"AWS::Glue::Connection").Properties["ConnectionInput"].(map[string]any)
		assert.Equal(t, "NETWORK", input["ConnectionType"])
		assert.ElementsMatch(t, []string{"ConnectionType", "Description", "PhysicalConnectionRequirements"},
			slices.Collect(maps.Keys(input)))
		place := input["PhysicalConnectionRequirements"].(map[string]any)
		subnet := built.target("Batch", place["SubnetId"])
		assert.Contains(t, subnet, "ApplicationSubnet", "the database's ACL admits those only")
		assert.Equal(t, subnet, built.target("Batch", place["AvailabilityZone"]))
	}
}

// TestBatch_jobReachesItselfTheSourceAndS3 lists every rule of the job's group.
func TestBatch_jobReachesItselfTheSourceAndS3(t *testing.T) {
	built := synth(t, "profile=lean")
	var in, out []string
	for id, r := range built.templates["Batch"].Resources {
		group := func(property string) string {
			found, _, _ := strings.Cut(strings.TrimPrefix(built.target("Batch", r.Properties[property]), "Batch/"),
				"SecurityGroup")
			return found
		}
		ports := fmt.Sprintf(" %v-%v", r.Properties["FromPort"], r.Properties["ToPort"])
		switch {
		case r.Type == "AWS::EC2::SecurityGroupIngress" && group("GroupId") == "Etl":
			in = append(in, group("SourceSecurityGroupId")+ports)
		case r.Type == "AWS::EC2::SecurityGroupEgress" && group("GroupId") == "Etl":
			out = append(out, group("DestinationSecurityGroupId")+ports)
		case r.Type == "AWS::EC2::SecurityGroup" && strings.HasPrefix(id, "Etl"):
			assert.Nil(t, r.Properties["SecurityGroupIngress"])
			egress := r.Properties["SecurityGroupEgress"].([]any)
			require.Len(t, egress, 1)
			assert.EqualValues(t, 443, egress[0].(map[string]any)["ToPort"])
		}
	}
	assert.Equal(t, []string{"Etl 0-65535"}, in)
	assert.ElementsMatch(t, []string{"Etl 0-65535", "Source 3306-3306"}, out)
}

// TestBatch_rolesAllowThisAndNoMore: action, and what it is about, of every statement of job and
// loader.
func TestBatch_rolesAllowThisAndNoMore(t *testing.T) {
	job := allowed(synth(t, "profile=lean"), "Batch", "EtlRole")
	assert.ElementsMatch(t, []string{
		"FindConnection glue:GetConnection", "LookAtVpc ec2:DescribeNetworkInterfaces ec2:DescribeRouteTables " +
			"ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcAttribute ec2:DescribeVpcEndpoints",
		"AttachToVpc ec2:CreateNetworkInterface",
		"DetachFromVpc ec2:CreateTags ec2:DeleteNetworkInterface ec2:DeleteTags",
		"ReadAsset s3:GetObject", "ReadAsset2 s3:GetObject", "ReadAsset3 s3:GetObject",
		"WriteOwnLog logs:CreateLogStream logs:PutLogEvents", "WriteOwnLog2 logs:CreateLogStream logs:PutLogEvents",
		"OpenOwnLog logs:CreateLogGroup", "LogInGeneration1 rds-db:connect /etl_reader", "ListLake s3:ListBucket",
		"Publish s3:AbortMultipartUpload s3:DeleteObject s3:GetObject s3:PutObject /ratings_ml_training*",
		"Publish2 s3:AbortMultipartUpload s3:DeleteObject s3:GetObject s3:PutObject /quarantine*",
		"ReadErased s3:GetObject /erased*",
		"Publish3 s3:AbortMultipartUpload s3:DeleteObject s3:GetObject s3:PutObject /catalogue*",
	}, job)
	loader := allowed(synth(t, "profile=lean"), "Batch", "LoaderRole")
	assert.NotContains(t, strings.Join(loader, "\n"), "s3:", "it reads a dump only where there is one")
	assert.Subset(t, loader, []string{"ReadMasterSecret secretsmanager:GetSecretValue",
		"LogInGeneration1 rds-db:connect /etl_reader"})
	assert.Contains(t, allowed(synth(t, dumped...), "Batch", "LoaderRole"),
		"ReadDump s3:GetObject :s3:::my-bucket/dumps/shop.sql")
}

// allowed lists the statements of a role's policy: name, actions, and the end of a resource that is
// named by text.
func allowed(a assembly, stack, prefix string) []string {
	ending := regexp.MustCompile(
		`"((?::s3:::my-bucket)?/(?:etl_reader|(?:ratings_ml_training|quarantine|catalogue|erased)\*|dumps/shop\.sql))"`)
	var all []string
	for id, r := range a.templates[stack].Resources {
		if r.Type != "AWS::IAM::Policy" || !strings.HasPrefix(id, prefix) {
			continue
		}
		for _, s := range policiesOf(r) {
			name, _ := s["Sid"].(string)
			actions := list(s["Action"])
			slices.Sort(actions)
			words := append([]string{name}, actions...)
			if found := ending.FindSubmatch(compact(s["Resource"])); found != nil {
				words = append(words, string(found[1]))
			}
			all = append(all, strings.Join(words, " "))
		}
	}
	return all
}

// TestBatch_failedRunReachesTheAlarmTopic: rule, target and the topic's policy must agree, and only
// a failure that nobody hears of would say that they do not.
func TestBatch_failedRunReachesTheAlarmTopic(t *testing.T) {
	for _, settings := range [][]string{{"profile=lean"}, {"profile=prod", "name=shop-two"}} {
		built := synth(t, settings...)
		rule := one(t, built.templates["Batch"], "AWS::Events::Rule").Properties
		pattern := rule["EventPattern"].(map[string]any)
		assert.Equal(t, []any{"aws.glue"}, pattern["source"])
		assert.Equal(t, []any{"Glue Job State Change"}, pattern["detail-type"])
		detail := pattern["detail"].(map[string]any)
		assert.Equal(t, []any{"FAILED", "TIMEOUT", "ERROR", "EXPIRED"}, detail["state"])
		job := built.target("Batch", detail["jobName"].([]any)[0])
		assert.Contains(t, job, "EtlJob")
		target := rule["Targets"].([]any)[0].(map[string]any)
		assert.NotContains(t, string(compact(target)), "$.detail.message",
			"a quote in it spoils the text, and nobody is told")
		topic := built.target("Batch", target["Arn"])
		assert.Contains(t, topic, "AlarmsTopic")

		var admitted []map[string]any
		for _, s := range statements(one(t, built.templates["Network"],
			"AWS::SNS::TopicPolicy").Properties["PolicyDocument"]) {
			if strings.Contains(string(compact(s["Principal"])), "events.amazonaws.com") {
				admitted = append(admitted, s)
			}
		}
		require.Len(t, admitted, 1)
		condition := admitted[0]["Condition"].(map[string]any)
		require.Len(t, condition, 1)
		arns := condition["ArnEquals"].(map[string]any)["aws:SourceArn"].([]any)
		require.Len(t, arns, 1)
		assert.Contains(t, string(compact(arns[0])), fmt.Sprintf(`:rule/%s"`, rule["Name"]))
	}
}

// TestLake_tablesAreTheContracts ties the catalogue to what a run writes: names, columns, types and
// the place that the job's lists are put to.
func TestLake_tablesAreTheContracts(t *testing.T) {
	for format, settings := range map[trainingset.Format][]string{trainingset.Parquet: {"profile=lean"},
		trainingset.CSV: dumped} {
		var found []string
		for _, r := range synth(t, settings...).templates["Batch"].Resources {
			if r.Type != "AWS::Glue::Table" {
				continue
			}
			input := r.Properties["TableInput"].(map[string]any)
			storage := input["StorageDescriptor"].(map[string]any)
			name := input["Name"].(string)
			found = append(found, name)
			var entry trainingset.CatalogueEntry
			for _, one := range trainingset.Catalogue(format) {
				if one.Name == name {
					entry = one
				}
			}
			require.NotEmpty(t, entry.Table, "%s is no table of a run", name)
			assert.Contains(t, string(compact(storage["Location"])), `"/`+entry.Folder+`/"`)
			assert.Equal(t, "org.apache.hadoop.hive.ql.io.SymlinkTextInputFormat", storage["InputFormat"])
			assert.Equal(t, "EXTERNAL_TABLE", input["TableType"])
			serde := storage["SerdeInfo"].(map[string]any)["SerializationLibrary"]
			assert.Equal(t, format == trainingset.CSV, strings.HasSuffix(serde.(string), "OpenCSVSerde"))
			assert.Equal(t, format == trainingset.CSV,
				input["Parameters"].(map[string]any)["skip.header.line.count"] == "1")
			if format == trainingset.CSV {
				assert.Equal(t, map[string]any{"separatorChar": ",", "quoteChar": `"`, "escapeChar": "\u0001"},
					storage["SerdeInfo"].(map[string]any)["Parameters"], "a backslash is a sign like any other")
				assert.Contains(t, input["Description"], "a line end in a text ends a row")
			}
			var want []any
			for _, column := range entry.Columns {
				kind := column.Type
				if format == trainingset.CSV {
					kind = "string"
				}
				want = append(want, map[string]any{"Name": strings.ToLower(column.Name), "Type": kind})
			}
			assert.Equal(t, want, storage["Columns"], name)
		}
		assert.Len(t, found, len(trainingset.Catalogue(format)))
		assert.Equal(t, format == trainingset.Parquet, slices.Contains(found, "ratings_ml_training"),
			"the course's name, in its format")
	}
}

func TestLake_workgroupBoundsQueriesAndSavesThem(t *testing.T) {
	for settings, limit := range map[string]float64{"profile=lean": 1 << 30, "profile=prod": 100 << 30} {
		batch := synth(t, settings).templates["Batch"]
		workgroup := one(t, batch, "AWS::Athena::WorkGroup").Properties["WorkGroupConfiguration"].(map[string]any)
		assert.Equal(t, limit, workgroup["BytesScannedCutoffPerQuery"])
		assert.Equal(t, true, workgroup["EnforceWorkGroupConfiguration"], "a client could ask for more")
		assert.Equal(t, map[string]any{"Enabled": true}, workgroup["ManagedQueryResultsConfiguration"])
		assert.Nil(t, workgroup["ResultConfiguration"])
		saved := map[string]any{}
		for _, r := range batch.Resources {
			if r.Type == "AWS::Athena::NamedQuery" {
				saved[r.Properties["Name"].(string)] = r.Properties["QueryString"]
			}
		}
		want := map[string]any{}
		for _, query := range sql.LakeQueries(func(table string) string { return table }) {
			want[query.Name] = query.Text
		}
		assert.Equal(t, want, saved)
	}
}

func TestLake_forgetsWhatItNeedNotKeep(t *testing.T) {
	for id, r := range synth(t, "profile=lean", "etl.quarantineRetentionDays=3").templates["Batch"].Resources {
		if r.Type != "AWS::S3::Bucket" {
			continue
		}
		assert.Equal(t, map[string]any{"Status": "Enabled"}, r.Properties["VersioningConfiguration"], id)
		rules := string(compact(r.Properties["LifecycleConfiguration"]))
		assert.Contains(t, rules, `{"ExpirationInDays":3,"Id":"expiry-0","Prefix":"quarantine/","Status":"Enabled"}`)
		assert.Contains(t, rules, `"NoncurrentVersionExpiration":{"NoncurrentDays":30}`)
		assert.NotContains(t, rules, "ratings_ml_training", "the job prunes runs, and never the published one")
	}
}

func TestBatch_databaseTellsItsErrorsAndSlowQueries(t *testing.T) {
	for _, profile := range profiles {
		batch := synth(t, "profile="+profile).templates["Batch"]
		db := one(t, batch, "AWS::RDS::DBInstance").Properties
		assert.Equal(t, []any{"error", "slowquery"}, db["EnableCloudwatchLogsExports"])
		parameters := one(t, batch, "AWS::RDS::DBParameterGroup").Properties["Parameters"].(map[string]any)
		assert.Equal(t, map[string]any{
			"require_secure_transport": "ON", "slow_query_log": "1", "long_query_time": "2", "log_output": "FILE",
			"innodb_buffer_pool_size": map[string]string{
				"lean": "{DBInstanceClassMemory*1/4}", "course": "{DBInstanceClassMemory*1/4}",
				"standard": "{DBInstanceClassMemory*1/2}", "prod": "{DBInstanceClassMemory*3/4}",
			}[profile],
		}, parameters)
		kept := 0
		for _, r := range batch.Resources {
			if r.Type == "Custom::LogRetention" {
				kept++
				assert.NotNil(t, r.Properties["RetentionInDays"])
				assert.Contains(t, string(compact(r.DependsOn)), "DatabaseLogKeeperDefaultPolicy")
			}
		}
		assert.Equal(t, 2, kept, profile)
	}
}

// cfnlintSchemas is the folder of what cfn-lint knows of CloudFormation's types.
func cfnlintSchemas(t *testing.T) string {
	t.Helper()
	python, err := installed.Python()
	require.NoError(t, err)
	found, err := filepath.Glob(filepath.Join(filepath.Dir(python), "..", "lib", "python*", "site-packages", "cfnlint",
		"data", "schemas"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

// engineVersions reads cfn-lint's lists of engine versions: for each engine those that one of its
// files names.
func engineVersions(t *testing.T, file string) map[string][]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(cfnlintSchemas(t), "extensions", "aws_rds_dbinstance", file))
	require.NoError(t, err)
	type part struct {
		Properties struct {
			Engine        struct{ Const string }
			EngineVersion struct{ Enum []string }
		}
	}
	var schema struct {
		AllOf []struct{ If, Then json.RawMessage }
	}
	require.NoError(t, json.Unmarshal(data, &schema))
	versions := map[string][]string{}
	for _, rule := range schema.AllOf {
		var when, then part
		require.NoError(t, json.Unmarshal(rule.If, &when))
		if string(rule.Then) != "false" { // which refuses what If describes
			require.NoError(t, json.Unmarshal(rule.Then, &then))
		}
		engine := when.Properties.Engine.Const
		versions[engine] = slices.Concat(versions[engine], when.Properties.EngineVersion.Enum,
			then.Properties.EngineVersion.Enum)
	}
	return versions
}

// TestDatabases_runVersionsThatRDSStillCreates: RDS stops creating a minor version long before it
// stops running it, and then only a new deployment fails.
func TestDatabases_runVersionsThatRDSStillCreates(t *testing.T) {
	deprecated, known := engineVersions(t, "engine_version_deprecated.json"), engineVersions(t, "engine_version.json")
	assert.Contains(t, deprecated["mysql"], "8.4.3", "the list is read as it is meant")
	assert.Contains(t, deprecated["postgres"], "17.1")
	pinned := map[string]string{}
	for id, r := range synth(t, "profile=lean").all {
		if r.Type == "AWS::RDS::DBInstance" {
			engine, version := r.Properties["Engine"].(string), r.Properties["EngineVersion"].(string)
			pinned[engine] = version
			assert.NotContains(t, deprecated[engine], version, id)
			assert.Contains(t, known[engine], version, id)
			assert.Equal(t, newest(t, version, known[engine], deprecated[engine]), version,
				"%s: the newest minor version of its major one", id)
		}
	}
	assert.Len(t, pinned, 2)
}

// newest is the greatest version that differs from the given one in its last number only and that
// is not deprecated.
func newest(t *testing.T, version string, known, deprecated []string) string {
	t.Helper()
	cut := strings.LastIndex(version, ".")
	greatest, number := "", -1
	for _, other := range known {
		if minor, same := strings.CutPrefix(other, version[:cut+1]); same && !slices.Contains(deprecated, other) {
			if n, err := strconv.Atoi(minor); err == nil && n > number {
				greatest, number = other, n
			}
		}
	}
	return greatest
}
