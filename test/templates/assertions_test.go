package templates

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/constructs/deliverystream"
	"diecast/internal/archive"
	"diecast/sql"
)

// statefulIDs are the logical ids of what holds data. A change replaces the
// resource and loses its data: it must never happen by renaming a construct.
var statefulIDs = []string{
	"Batch/LakeBucketCECD5697 (AWS::S3::Bucket)",
	"Batch/SourceInstance92429C9D (AWS::RDS::DBInstance)",
	"Network/AccessLogsBucketCD784A59 (AWS::S3::Bucket)",
	"Streaming/ArchiveBucket49F1AC64 (AWS::S3::Bucket)",
	"Streaming/EventsStreamA348795C (AWS::Kinesis::Stream)",
	"Streaming/RecommendationsTable055167EC (AWS::DynamoDB::GlobalTable)",
	"Vectors/ArtifactsBucket88671897 (AWS::S3::Bucket)",
	"Vectors/DatabaseInstanceAA8A5FDE (AWS::RDS::DBInstance)",
	"Web/LogsBucket5C52C3D2 (AWS::S3::Bucket)",
}

var statefulTypes = []string{"AWS::S3::Bucket", "AWS::Kinesis::Stream", "AWS::DynamoDB::GlobalTable",
	"AWS::RDS::DBInstance"}

func TestStatefulResources_keepTheirLogicalIDs(t *testing.T) {
	for _, profile := range profiles {
		var found []string
		for id, r := range synth(t, "profile="+profile).all {
			if slices.Contains(statefulTypes, r.Type) {
				found = append(found, fmt.Sprintf("%s (%s)", id, r.Type))
			}
		}
		assert.ElementsMatch(t, statefulIDs, found, profile)
	}
}

// TestData_goesOnlyWithBothKeys covers every resource that holds data, in every
// combination of the two keys.
func TestData_goesOnlyWithBothKeys(t *testing.T) {
	combinations := []struct {
		settings []string
		goes     bool
	}{
		{[]string{"profile=lean", "data.removal=retain"}, false},
		{[]string{"profile=lean", "data.removal=destroy"}, false},
		{[]string{"profile=lean", "data.removal=destroy", "data.destroy=true"}, true},
	}
	for _, combination := range combinations {
		t.Run(strings.Join(combination.settings, " "), func(t *testing.T) {
			built := synth(t, combination.settings...)
			for id, r := range built.all {
				if !slices.Contains(statefulTypes, r.Type) {
					continue
				}
				if combination.goes {
					assert.Equal(t, "Delete", r.DeletionPolicy, id)
				} else {
					assert.Contains(t, []string{"RetainExceptOnCreate", "Snapshot"}, r.DeletionPolicy, id)
				}
				assert.Equal(t, strings.TrimSuffix(r.DeletionPolicy, "ExceptOnCreate"), r.UpdateReplace,
					"%s: replacing it must not lose more than deleting it", id)
			}
			emptied := built.count("Custom::S3AutoDeleteObjects")
			assert.Equal(t, combination.goes, emptied > 0, "buckets are emptied only with both keys")
		})
	}
}

func TestNetwork_wayOutFollowsNAT(t *testing.T) {
	for nat, want := range map[string]struct{ gateways, instances, endpoints, routes int }{
		"none":     {0, 0, 1, 0},
		"instance": {0, 1, 0, 2},
		"gateway":  {1, 0, 0, 2},
	} {
		t.Run(nat, func(t *testing.T) {
			built := synth(t, "profile=lean", "network.nat="+nat)
			assert.Equal(t, want.gateways, built.count("AWS::EC2::NatGateway"))
			assert.Equal(t, want.instances, built.count("AWS::EC2::Instance"))
			routes := 0
			for id, r := range built.all {
				if r.Type == "AWS::EC2::Route" && strings.Contains(id, "Application") {
					routes++
				}
			}
			assert.Equal(t, want.routes, routes, "routes out of the application subnets")
			interfaces := 0
			for _, r := range built.templates["Network"].Resources {
				if r.Type == "AWS::EC2::VPCEndpoint" && r.Properties["VpcEndpointType"] == "Interface" {
					interfaces++
					assert.Len(t, r.Properties["SubnetIds"], 1, "one zone in lean")
					assert.Contains(t, string(compact(r.Properties["ServiceName"])), "secretsmanager")
				}
			}
			assert.Equal(t, want.endpoints, interfaces)
		})
	}
}

// TestNetwork_natInstanceHasMemoryToStart: what a nano has is used up by the installation of what
// forwards.
func TestNetwork_natInstanceHasMemoryToStart(t *testing.T) {
	built := synth(t, "profile=lean", "network.nat=instance")
	assert.Equal(t, "t4g.micro", one(t, built.templates["Network"], "AWS::EC2::Instance").Properties["InstanceType"])
}

func TestNetwork_hasTwoZonesAndGatewayEndpoints(t *testing.T) {
	network := synth(t, "profile=lean").templates["Network"]
	zones := map[string]int{}
	var gateways []string
	for _, r := range network.Resources {
		switch r.Type {
		case "AWS::EC2::Subnet":
			zones[string(compact(r.Properties["AvailabilityZone"]))]++
			assert.NotEqual(t, true, r.Properties["MapPublicIpOnLaunch"],
				"no subnet hands out public addresses by itself")
		case "AWS::EC2::VPCEndpoint":
			if r.Properties["VpcEndpointType"] == "Gateway" {
				gateways = append(gateways, string(compact(r.Properties["ServiceName"])))
			}
		}
	}
	assert.Equal(t, []int{3, 3}, slices.Collect(maps.Values(zones)), "three subnets in each of two zones")
	assert.Len(t, gateways, 2)
	joined := strings.Join(gateways, " ")
	assert.Contains(t, joined, ".s3")
	assert.Contains(t, joined, ".dynamodb")
}

func TestNetwork_databaseSubnetsTalkToApplicationSubnetsOnly(t *testing.T) {
	network := synth(t, "profile=lean").templates["Network"]
	application := map[any]bool{}
	for id, r := range network.Resources {
		if r.Type == "AWS::EC2::Subnet" && strings.Contains(id, "Application") {
			application[r.Properties["CidrBlock"]] = true
		}
	}
	require.Len(t, application, 2)
	entries := 0
	for id, r := range network.Resources {
		if r.Type != "AWS::EC2::NetworkAclEntry" {
			continue
		}
		entries++
		assert.True(t, application[r.Properties["CidrBlock"]], "%s admits %v", id, r.Properties["CidrBlock"])
		from := r.Properties["PortRange"].(map[string]any)["From"]
		if r.Properties["Egress"] == true {
			assert.EqualValues(t, 1024, from, id)
		} else {
			assert.Contains(t, []any{3306.0, 5432.0}, from, id)
		}
	}
	assert.Equal(t, 6, entries, "in for each database and out, for each of two zones")
}

func TestVectors_databaseIsPrivateAndForcesTLS(t *testing.T) {
	for _, profile := range profiles {
		vectors := synth(t, "profile="+profile).templates["Vectors"]
		db := one(t, vectors, "AWS::RDS::DBInstance").Properties
		assert.Equal(t, false, db["PubliclyAccessible"])
		assert.Equal(t, true, db["EnableIAMDatabaseAuthentication"])
		assert.Equal(t, true, db["ManageMasterUserPassword"])
		assert.Nil(t, db["MasterUserPassword"])
		assert.Equal(t, "18.6", db["EngineVersion"])
		assert.Equal(t, profile == "prod", db["MultiAZ"])
		parameters := one(t, vectors, "AWS::RDS::DBParameterGroup").Properties["Parameters"].(map[string]any)
		assert.Equal(t, "1", parameters["rds.force_ssl"])
	}
}

// TestSecurityGroups_databaseAdmitsItsClientsOnly walks every rule of every stack
// that opens a way into the database.
func TestSecurityGroups_databaseAdmitsItsClientsOnly(t *testing.T) {
	built := synth(t, "profile=lean")
	admitted := map[string][]string{}
	for id, r := range built.all {
		if r.Type != "AWS::EC2::SecurityGroupIngress" {
			continue
		}
		stack, _, _ := strings.Cut(id, "/")
		for group, port := range map[string]int{"Vectors/DatabaseSecurityGroup": 5432,
			"Batch/SourceSecurityGroup": 3306} {
			if strings.HasPrefix(built.target(stack, r.Properties["GroupId"]), group) {
				assert.EqualValues(t, port, r.Properties["FromPort"], id)
				assert.EqualValues(t, port, r.Properties["ToPort"], id)
				client, _, _ := strings.Cut(built.target(stack, r.Properties["SourceSecurityGroupId"]), "SecurityGroup")
				admitted[group] = append(admitted[group], client)
			}
		}
	}
	assert.ElementsMatch(t, []string{"Streaming/Inference", "Vectors/Loader", "Web/Server"},
		admitted["Vectors/DatabaseSecurityGroup"])
	assert.ElementsMatch(t, []string{"Batch/Etl", "Batch/Loader", "Web/Server"}, admitted["Batch/SourceSecurityGroup"])
}

func TestStreaming_consumerNeverBlocksAShard(t *testing.T) {
	for _, profile := range profiles {
		mapping := one(t, synth(t, "profile="+profile).templates["Streaming"],
			"AWS::Lambda::EventSourceMapping").Properties
		assert.Equal(t, true, mapping["BisectBatchOnFunctionError"])
		assert.Equal(t, []any{"ReportBatchItemFailures"}, mapping["FunctionResponseTypes"])
		assert.EqualValues(t, 5, mapping["MaximumRetryAttempts"])
		assert.EqualValues(t, 900, mapping["MaximumRecordAgeInSeconds"])
		assert.Equal(t, "TRIM_HORIZON", mapping["StartingPosition"])
		destination := string(compact(mapping["DestinationConfig"]))
		assert.Contains(t, destination, "ArchiveBucket", "SQS and SNS would receive metadata only")
	}
}

// Enhanced fan-out is a consumer of the deliver function's own, which it may subscribe to; without
// it the mapping reads the stream.
func TestStreaming_enhancedFanOutIsAConsumerOfItsOwn(t *testing.T) {
	for profile, fanOut := range map[string]bool{"lean": false, "prod": true} {
		template := synth(t, "profile="+profile).templates["Streaming"]
		source := string(compact(one(t, template, "AWS::Lambda::EventSourceMapping").Properties["EventSourceArn"]))
		consumers, may := 0, false
		for id, r := range template.Resources {
			if r.Type == "AWS::Kinesis::StreamConsumer" {
				consumers++
				assert.Contains(t, source, id)
				assert.Contains(t, string(compact(r.Properties["StreamARN"])), "EventsStream")
			}
			may = may || r.Type == "AWS::IAM::Policy" && strings.Contains(string(compact(r.Properties)),
				`"kinesis:SubscribeToShard"`) && strings.Contains(string(compact(r.Properties)), "FanOut")
		}
		assert.Equal(t, fanOut, consumers == 1, profile)
		assert.Equal(t, fanOut, may, profile)
		assert.Equal(t, !fanOut, strings.Contains(source, "EventsStream"), "%s: %s", profile, source)
	}
}

// One event that the deliver function drops is heard of: an aggregate can be hundreds of them.
func TestStreaming_anEventThatIsDroppedAlarms(t *testing.T) {
	var dropped []resource
	for _, alarm := range synth(t, "profile=lean").templates["Streaming"].Resources {
		if alarm.Type == "AWS::CloudWatch::Alarm" && alarm.Properties["MetricName"] == "dropped" {
			dropped = append(dropped, alarm)
		}
	}
	require.Len(t, dropped, 1)
	properties := dropped[0].Properties
	assert.Equal(t, "Diecast", properties["Namespace"])
	assert.Equal(t, []any{map[string]any{"Name": "function", "Value": "deliver"}}, properties["Dimensions"])
	assert.Equal(t, "Sum", properties["Statistic"])
	assert.Equal(t, "GreaterThanThreshold", properties["ComparisonOperator"])
	assert.EqualValues(t, 0, properties["Threshold"])
	assert.EqualValues(t, 1, properties["EvaluationPeriods"])
	assert.Equal(t, "notBreaching", properties["TreatMissingData"])
	assert.Len(t, properties["AlarmActions"], 1)
}

func TestStreaming_deliveryStreamFollowsTheContract(t *testing.T) {
	streaming := synth(t, "profile=lean", "streaming.bufferSeconds=70", "streaming.bufferMiB=7",
		"streaming.processorBufferMiB=0.25", "streaming.processorBufferSeconds=30").templates["Streaming"]
	stream := one(t, streaming, "AWS::KinesisFirehose::DeliveryStream")
	s3 := stream.Properties["ExtendedS3DestinationConfiguration"].(map[string]any)
	const byHour = "year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/"
	assert.Equal(t, "recommendations/"+byHour, s3["Prefix"])
	assert.Equal(t, "errors/!{firehose:error-output-type}/"+byHour, s3["ErrorOutputPrefix"])
	assert.Equal(t, map[string]any{"IntervalInSeconds": 70.0, "SizeInMBs": 7.0}, s3["BufferingHints"])
	assert.Equal(t, true, s3["CloudWatchLoggingOptions"].(map[string]any)["Enabled"])

	processors := s3["ProcessingConfiguration"].(map[string]any)["Processors"].([]any)
	require.Len(t, processors, 1)
	parameters := map[string]any{}
	for _, parameter := range processors[0].(map[string]any)["Parameters"].([]any) {
		entry := parameter.(map[string]any)
		parameters[entry["ParameterName"].(string)] = entry["ParameterValue"]
	}
	assert.Equal(t, "0.25", parameters["BufferSizeInMBs"])
	assert.Equal(t, "30", parameters["BufferIntervalInSeconds"])
	assert.Equal(t, "3", parameters["NumberOfRetries"])
	assert.Contains(t, string(compact(parameters["LambdaArn"])), "Transform")

	// Firehose checks its rights when it is created.
	assert.Contains(t, string(compact(stream.DependsOn)), "DefaultPolicy")
}

// Athena and Spark open an object by the end of its key.
func TestStreaming_archiveIsCompressedByKey(t *testing.T) {
	for settings, want := range map[string][]any{
		"profile=lean": {"UNCOMPRESSED", ".jsonl"}, "profile=prod": {"GZIP", ".jsonl.gz"},
	} {
		stream := one(t, synth(t, settings).templates["Streaming"], "AWS::KinesisFirehose::DeliveryStream")
		s3 := stream.Properties["ExtendedS3DestinationConfiguration"].(map[string]any)
		compression, set := s3["CompressionFormat"]
		if !set {
			compression = "UNCOMPRESSED" // Firehose's default
		}
		assert.Equal(t, want, []any{compression, s3["FileExtension"]}, settings)
	}
}

func TestStreaming_archiveGrowsColdAndGoes(t *testing.T) {
	for settings, want := range map[string]string{
		"profile=lean": `{"ExpirationInDays":30,"Id":"expiry-0","Prefix":"recommendations/","Status":"Enabled"}`,
		"profile=prod": `{"ExpirationInDays":365,"Id":"expiry-0","Prefix":"recommendations/","Status":"Enabled",` +
			`"Transitions":[{"StorageClass":"STANDARD_IA","TransitionInDays":30}]}`,
	} {
		bucket := one(t, synth(t, settings).templates["Streaming"], "AWS::S3::Bucket")
		assert.Contains(t, string(compact(bucket.Properties["LifecycleConfiguration"])), want, settings)
	}
}

// The catalogue's folders are those that Firehose writes, hour by hour, as far back as any is kept.
func TestStreaming_catalogueFindsWhatIsArchived(t *testing.T) {
	streaming := synth(t, "profile=lean", "streaming.archiveRetentionDays=60",
		"streaming.errorRetentionDays=10").templates["Streaming"]
	s3 := one(t, streaming, "AWS::KinesisFirehose::DeliveryStream").
		Properties["ExtendedS3DestinationConfiguration"].(map[string]any)
	// Text of Java's patterns stands in quotes; Firehose's stands as it is, with its patterns in
	// braces.
	var folder strings.Builder
	for i, part := range strings.Split(deliverystream.HourFormat, "'") {
		if i%2 == 0 && part != "" {
			part = "!{timestamp:" + part + "}"
		}
		folder.WriteString(part)
	}
	tables := map[string]resource{}
	for _, r := range streaming.Resources {
		if r.Type == "AWS::Glue::Table" {
			tables[r.Properties["TableInput"].(map[string]any)["Name"].(string)] = r
		}
	}
	require.Len(t, tables, len(archive.Tables()))
	for _, table := range archive.Tables() {
		input := tables[table.Name].Properties["TableInput"].(map[string]any)
		storage, parameters := input["StorageDescriptor"].(map[string]any), input["Parameters"].(map[string]any)
		location := string(compact(storage["Location"]))
		assert.Contains(t, location, `"/`+table.Folder+`"`, table.Name)
		assert.Len(t, storage["Columns"], len(table.Columns), table.Name)
		serde := storage["SerdeInfo"].(map[string]any)["Parameters"].(map[string]any)
		assert.Equal(t, map[bool]string{true: "TRUE", false: "FALSE"}[table.AnyCase], serde["case.insensitive"])
		if !table.ByHour {
			assert.Nil(t, input["PartitionKeys"], table.Name)
			assert.Nil(t, parameters["projection.enabled"], table.Name)
			continue
		}
		assert.Equal(t, []any{map[string]any{"Name": archive.HourColumn, "Type": "string"}}, input["PartitionKeys"])
		column := "projection." + archive.HourColumn + "."
		kept := map[string]int{archive.RecommendationsTable: 60, archive.RefusedTable: 10}[table.Name]
		assert.Equal(t, fmt.Sprintf("NOW-%dDAYS,NOW", kept+2), parameters[column+"range"])
		assert.Equal(t, []any{"date", deliverystream.HourFormat, "1", "HOURS", "true"}, []any{
			parameters[column+"type"], parameters[column+"format"], parameters[column+"interval"],
			parameters[column+"interval.unit"], parameters["projection.enabled"],
		})
		template := string(compact(parameters["storage.location.template"]))
		assert.Contains(t, template, `/`+table.Folder+`${`+archive.HourColumn+`}/"`, table.Name)
		written := map[string]any{
			archive.RecommendationsTable: s3["Prefix"],
			archive.RefusedTable: strings.Replace(s3["ErrorOutputPrefix"].(string), "!{firehose:error-output-type}",
				"processing-failed", 1),
		}[table.Name]
		assert.Equal(t, table.Folder+folder.String()+"/", written)
	}
}

func TestStreaming_archiveQueriesAreSavedInAWorkgroupOfTheirOwn(t *testing.T) {
	built := synth(t, "profile=prod")
	streaming := built.templates["Streaming"]
	workgroup := one(t, streaming, "AWS::Athena::WorkGroup").Properties
	assert.Equal(t, "diecast-archive", workgroup["Name"])
	assert.NotEqual(t, workgroup["Name"], one(t, built.templates["Batch"], "AWS::Athena::WorkGroup").Properties["Name"])
	assert.Equal(t, float64(100<<30),
		workgroup["WorkGroupConfiguration"].(map[string]any)["BytesScannedCutoffPerQuery"])
	saved, want := map[string]any{}, map[string]any{}
	for _, r := range streaming.Resources {
		if r.Type == "AWS::Athena::NamedQuery" {
			saved[r.Properties["Name"].(string)] = r.Properties["QueryString"]
		}
	}
	for _, query := range sql.ArchiveQueries() {
		want[query.Name] = query.Text
	}
	assert.Equal(t, want, saved)
}

// S3 publishes what is written below the two folders that only failures reach, and finds the policy
// that lets it.
func TestStreaming_whatIsLostAlarms(t *testing.T) {
	streaming := synth(t, "profile=lean").templates["Streaming"]
	bucket := one(t, streaming, "AWS::S3::Bucket")
	topic, policy := "", ""
	for id, r := range streaming.Resources {
		switch r.Type {
		case "AWS::SNS::Topic":
			topic = id
		case "AWS::SNS::TopicPolicy":
			policy = id
			assert.Contains(t, string(compact(r.Properties)), `"Service":"s3.amazonaws.com"`)
		}
	}
	assert.Contains(t, list(bucket.DependsOn), policy)
	var prefixes []string
	for _, one := range bucket.Properties["NotificationConfiguration"].(map[string]any)["TopicConfigurations"].([]any) {
		told := one.(map[string]any)
		assert.Equal(t, "s3:ObjectCreated:*", told["Event"])
		assert.Equal(t, map[string]any{"Ref": topic}, told["Topic"])
		rules := told["Filter"].(map[string]any)["S3Key"].(map[string]any)["Rules"].([]any)
		require.Len(t, rules, 1)
		prefixes = append(prefixes, rules[0].(map[string]any)["Value"].(string))
	}
	assert.Equal(t, []string{archive.Errors, archive.Failures}, prefixes)
	for _, r := range streaming.Resources {
		if r.Type == "AWS::CloudWatch::Alarm" && r.Properties["Namespace"] == "AWS/SNS" {
			assert.Contains(t, string(compact(r.Properties["Dimensions"])), topic)
			assert.EqualValues(t, 0, r.Properties["Threshold"])
			assert.Len(t, r.Properties["AlarmActions"], 1)
			return
		}
	}
	require.Fail(t, "no alarm")
}

func TestStreaming_alarmsOnWhatTheShopReads(t *testing.T) {
	found := map[string]resource{}
	for _, r := range synth(t, "profile=lean").templates["Streaming"].Resources {
		if r.Type == "AWS::CloudWatch::Alarm" {
			found[strings.Join(metricsOf(r), " ")] = r
		}
	}
	late := found["Diecast/latency"].Properties
	require.NotNil(t, late)
	assert.Equal(t, []any{"p99", 2000.0, 60.0}, []any{late["ExtendedStatistic"], late["Threshold"], late["Period"]})
	assert.Equal(t, []any{map[string]any{"Name": "function", "Value": "deliver"}}, late["Dimensions"])
	var rungs resource
	for metrics, r := range found {
		if strings.Contains(metrics, "rung_") {
			rungs = r
		}
	}
	assert.ElementsMatch(t, []string{"Diecast/rung_memory", "Diecast/rung_popular", "Diecast/delivered"},
		metricsOf(rungs))
	assert.EqualValues(t, 1, rungs.Properties["Threshold"])
	assert.Contains(t, string(compact(rungs.Properties["Metrics"])), "100 * (memory + popular) / delivered")
	assert.EqualValues(t, 1, found["Diecast/model_versions"].Properties["Threshold"])
}

// Every function of ours takes the level of its log from the one key.
func TestFunctions_logFromTheLevelOn(t *testing.T) {
	for setting, level := range map[string]string{
		"functions.logLevel=info": "INFO", "functions.logLevel=error": "ERROR",
	} {
		count := 0
		for id, r := range synth(t, "profile=lean", setting).all {
			if r.Type == "AWS::Lambda::Function" && r.Metadata["diecast:source"] != nil {
				environment := r.Properties["Environment"].(map[string]any)["Variables"].(map[string]any)
				assert.Equal(t, level, environment["LOG_LEVEL"], id)
				count++
			}
		}
		assert.Equal(t, 5, count)
	}
}

func TestStreaming_tableIsKeyedByTheContract(t *testing.T) {
	table := one(t, synth(t, "profile=lean").templates["Streaming"], "AWS::DynamoDB::GlobalTable").Properties
	assert.Equal(t, []any{map[string]any{"AttributeName": "session_id", "KeyType": "HASH"}}, table["KeySchema"])
	assert.Equal(t, map[string]any{"AttributeName": "expires_at", "Enabled": true}, table["TimeToLiveSpecification"])
	index := table["GlobalSecondaryIndexes"].([]any)[0].(map[string]any)
	assert.Equal(t, "customer_number-event_time", index["IndexName"])
}

func TestStreaming_inferenceIsReachedWithIAMOnly(t *testing.T) {
	for _, profile := range profiles {
		streaming := synth(t, "profile="+profile).templates["Streaming"]
		assert.Equal(t, "AWS_IAM", one(t, streaming, "AWS::Lambda::Url").Properties["AuthType"])
		for id, r := range streaming.Resources {
			if r.Type == "AWS::Lambda::Permission" {
				assert.NotEqual(t, "*", r.Properties["Principal"], "%s opens a function to everyone", id)
			}
		}
	}
}

// TestFunctions_onlyThoseThatMustLiveInTheVPC: each function in the VPC delays
// the removal of its stack.
func TestFunctions_onlyThoseThatMustLiveInTheVPC(t *testing.T) {
	var inside []string
	for _, r := range synth(t, "profile=lean").all {
		if r.Type == "AWS::Lambda::Function" && r.Properties["VpcConfig"] != nil {
			inside = append(inside, fmt.Sprint(r.Metadata["diecast:source"]))
		}
	}
	assert.ElementsMatch(t, []string{"lambda/vectorloader", "lambda/sourceloader", "lambda/inference"}, inside)
}

func TestFunctions_eachHasItsOwnRole(t *testing.T) {
	roles := map[string]string{}
	for id, r := range synth(t, "profile=lean").all {
		if r.Type == "AWS::Lambda::Function" {
			stack, _, _ := strings.Cut(id, "/")
			role := stack + string(compact(r.Properties["Role"]))
			assert.Empty(t, roles[role], "%s shares the role of %s", id, roles[role])
			roles[role] = id
		}
	}
}

func TestStacks_dependOneWay(t *testing.T) {
	built := synth(t, "profile=lean")
	want := map[string][]string{
		"Network":     nil,
		"Vectors":     {"Network"},
		"VectorsData": {"Vectors"},
		"Batch":       {"Network", "Vectors"},
		"BatchData":   {"Batch"},
		"Streaming":   {"Network", "Vectors", "VectorsData"},
		"Web":         {"Batch", "BatchData", "Network", "Streaming", "Vectors", "VectorsData"},
	}
	assert.Equal(t, want, built.dependencies)
}

// count is how many resources of a type all stacks have.
func (a assembly) count(kind string) int {
	n := 0
	for _, r := range a.all {
		if r.Type == kind {
			n++
		}
	}
	return n
}

// one is the only resource of a type in a stack.
func one(t *testing.T, stack template, kind string) resource {
	t.Helper()
	var found []resource
	for _, r := range stack.Resources {
		if r.Type == kind {
			found = append(found, r)
		}
	}
	require.Len(t, found, 1, "%s in %s", kind, stack.Stack)
	return found[0]
}
