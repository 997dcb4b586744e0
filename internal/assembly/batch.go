package assembly

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Job is an AWS::Glue::Job that runs one Python script of the platform's own on Spark.
type Job struct {
	// Name is the physical name that the template asks for; empty: any.
	Name string
	// Source is the script, such as glue-scripts/ratings_etl.py.
	Source string
	// Arguments are the default arguments, by name with its dashes, such as --lake-bucket. Those
	// that mean something to Glue are left out, but for --conf.
	Arguments map[string]string
	// Timeout ends a run that takes longer.
	Timeout time.Duration
	// MaxConcurrentRuns is how many runs may be under way at a time.
	MaxConcurrentRuns int
}

// jobTimeout is that of a job that states none, in minutes; longestJob that of the longest one.
const jobTimeout, longestJob = 480, 10_080

// decodeJob takes limits and defaults from the API reference of Glue (CreateJob), the arguments
// that mean something to Glue from its developer guide's chapter "Using job parameters in AWS Glue
// jobs". The script that was uploaded must be there, though a laptop runs the one that it was taken
// from.
func decodeJob(o *object) *Job {
	o.need("Command", "GlueVersion", "Role")
	o.ignore(noPermissions, "Role")
	o.ignore(noNetwork, "Connections")
	o.ignore(noEncryption, "SecurityConfiguration")
	o.ignore(noTags, "Tags")
	o.ignore(noLogService, "LogUri")
	o.ignore(noAlarms, "NotificationProperty")
	o.ignore("told to people only", "Description")
	o.ignore("the laptop's own processor and memory serve",
		"ExecutionClass", "MaxCapacity", "NumberOfWorkers", "WorkerType")
	o.ignore("a laptop maintains itself", "MaintenanceWindow")
	o.oneOf("GlueVersion", "5.1")
	o.oneOf("JobMode", "SCRIPT")
	o.integer("MaxRetries", 0, 0, 0) // the laptop starts no run by itself
	if o.boolean("JobRunQueuingEnabled", false) {
		o.refuse("JobRunQueuingEnabled", "false: the laptop refuses a run that is one too many")
	}
	job := &Job{
		Name:              o.text("Name"),
		Source:            o.resource.Source(),
		Arguments:         decodeArguments(o.part("DefaultArguments")),
		Timeout:           time.Duration(o.integer("Timeout", jobTimeout, 1, longestJob)) * time.Minute,
		MaxConcurrentRuns: o.part("ExecutionProperty").integer("MaxConcurrentRuns", 1, 1, 1000),
	}
	if job.Source == "" {
		o.fail(at("Metadata").field(SourceMetadata),
			"got nothing, want the script that the job runs: a laptop runs the platform's own jobs only")
	}
	command := o.part("Command")
	command.need("Name", "ScriptLocation")
	command.oneOf("Name", "glueetl")
	command.oneOf("PythonVersion", "3")
	location := command.text("ScriptLocation")
	if location == "" {
		return job
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(location, "s3://"), "/")
	if err := o.assembly.findAsset(bucket, key, o.environment.expand); err != nil {
		o.fail(o.at.field("Command").field("ScriptLocation"), "%v", err)
	}
	return job
}

// decodeArguments sorts out what Glue itself reads of a job's arguments.
func decodeArguments(o *object) map[string]string {
	o.ignore(noMetrics, "--enable-metrics", "--enable-observability-metrics")
	o.ignore(noLogService, "--continuous-log-conversionPattern", "--continuous-log-logGroup",
		"--continuous-log-logStreamPrefix",
		"--custom-logGroup-prefix", "--custom-logStream-prefix", "--enable-continuous-cloudwatch-log",
		"--enable-continuous-log-filter", "--enable-spark-ui", "--spark-event-logs-path")
	o.ignore("each run has a folder of its own for what is temporary", "--TempDir")
	o.ignore("the laptop's Spark has the jars that are installed: MySQL's driver and what reads s3://",
		"--extra-jars", "--user-jars-first")
	o.ignore("a laptop has no catalogue: the lake's tables are read by their files", "--enable-glue-datacatalog")
	o.ignore("the laptop's own processor and memory serve", "--enable-auto-scaling")
	o.oneOf("--job-language", "python")
	o.oneOf("--job-bookmark-option", "job-bookmark-disable")
	for _, name := range []string{"--additional-python-modules", "--extra-files", "--extra-py-files"} {
		if _, ok := o.value(name); ok {
			o.refuse(name, "nothing: the laptop's jobs have one file and the Python that is installed")
		}
	}
	arguments := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		if !o.seen[name] {
			arguments[name] = o.text(name)
		}
	}
	return arguments
}

// StateMachine is an AWS::StepFunctions::StateMachine of the type STANDARD.
type StateMachine struct {
	// Name is the physical name that the template asks for; empty: any.
	Name string
	// Definition is Amazon States Language, with ${Name} for each of Substitutions. It is known
	// before anything is created, so that it can be refused then.
	Definition    string
	Substitutions map[string]string
	// Role is told to who describes the machine.
	Role string
}

// decodeStateMachine takes limits and defaults from CloudFormation's reference of the type.
func decodeStateMachine(o *object) *StateMachine {
	o.need("DefinitionString", "RoleArn")
	o.oneOf("StateMachineType", "STANDARD")
	o.ignore(noLogService, "LoggingConfiguration")
	o.ignore("nothing is traced on a laptop", "TracingConfiguration")
	o.ignore(noEncryption, "EncryptionConfiguration")
	o.ignore(noTags, "Tags")
	machine := &StateMachine{
		Name: o.text("StateMachineName"), Definition: o.text("DefinitionString"), Role: o.text("RoleArn"),
		Substitutions: o.table("DefinitionSubstitutions"),
	}
	if machine.Definition == "" {
		o.refuse("DefinitionString", "a text that refers to nothing: what is not known before the deployment stands "+
			"in "+
			"DefinitionSubstitutions, so that a laptop can refuse the rest before anything starts")
	}
	return machine
}

// Topic is an AWS::SNS::Topic.
type Topic struct {
	// Name is the physical name that the template asks for; empty: any.
	Name string
}

func decodeTopic(o *object) *Topic {
	o.ignore(noEncryption, "KmsMasterKeyId")
	o.ignore(noTags, "Tags")
	o.ignore("told to people only", "DisplayName")
	o.ignore("a laptop writes to nobody", "Subscription")
	if o.boolean("FifoTopic", false) {
		o.refuse("FifoTopic", "false: the laptop's topics keep no order")
	}
	return &Topic{Name: o.text("TopicName")}
}
