package stacks

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"

	"diecast/config"
	"diecast/constructs/golambda"
	"diecast/constructs/nag"
	"diecast/constructs/statemachine"
	"diecast/internal/trainingset"
)

// batchDefinition is the state machine of the batch path, in Amazon States Language. CloudFormation
// fills in the names of resources; what follows from the configuration alone is filled in here.
//
//go:embed batch.asl.json
var batchDefinition string

// refreshSeconds is how long the state machine waits for the vector loader: all of the function's
// time, and half a minute to begin.
const refreshSeconds = loaderTimeoutSeconds + 30

// newMachine makes the state machine that runs the job, lets the vector store follow what is
// published, and tells what came of it.
func (b *Batch) newMachine(
	cfg config.Config, network *Network, refresher *golambda.Function,
) (*statemachine.Machine, awssns.Topic) {
	topic := awssns.NewTopic(b.Stack, jsii.String("Runs"), &awssns.TopicProps{EnforceSSL: jsii.Bool(true)})
	var schedule *statemachine.Schedule
	if cfg.ETL.Schedule != "" {
		schedule = &statemachine.Schedule{
			Expression: cfg.ETL.Schedule, Quiet: time.Duration(cfg.ETL.QuietHours()) * time.Hour,
		}
	}
	machine := statemachine.New(b.Stack, "BatchPath", statemachine.Props{
		Definition:  filled(batchDefinition, cfg),
		Description: "the batch path: the ETL job, the refresh of the vector store, and word of what came of it",
		Substitutions: map[string]*string{
			"JobName": b.Job.Name(), "LogPrefix": b.Job.LogPrefix(),
			"LakeBucket": b.Lake.Bucket().Name(), "TopicArn": topic.TopicArn(),
			"VectorLoader": refresher.Name(),
		},
		LogRetention: logRetention(cfg.Functions.LogRetentionDays),
		Schedule:     schedule,
		Advice:       "its cause names what to look at (diecast etl status).",
		AlarmTopic:   network.AlarmTopic,
	})
	role := machine.Role()
	role.Allow("RunJob", []string{"glue:BatchStopJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:StartJobRun"},
		b.Stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("glue"), Resource: jsii.String("job"), ResourceName: b.Job.Name(),
		}))
	outcomes := "/" + trainingset.Prefix + "/*/" + trainingset.OutcomeName
	role.Allow("ReadOutcome", []string{"s3:GetObject"}, jsii.String(*b.Lake.Bucket().ARN()+outcomes))
	// Without it S3 tells of an outcome that is missing as of one that is forbidden.
	role.Allow("MissOutcome", []string{"s3:ListBucket"}, b.Lake.Bucket().ARN())
	role.Allow("Refresh", []string{"lambda:InvokeFunction"}, refresher.ARN())
	role.Allow("Tell", []string{"sns:Publish"}, topic.TopicArn())
	nag.Accept(role.Role(), nag.Exception{
		Rule: "AwsSolutions-IAM5",
		Reason: "Runs are named when they start; the statement is limited to one bucket and to the one file of " +
			"each run.",
		Matching: []string{`^Resource::.+/` + trainingset.Prefix + `/\*/` + trainingset.OutcomeName + `$`},
	})
	return machine, topic
}

// nobody stands for an owner whom the configuration does not name.
const nobody = "nobody, until source.owner names somebody"

// filled is the definition with what follows from the configuration, in the places of whole texts.
// A dollar in the owner's name must not look like a place that CloudFormation fills in.
func filled(definition string, cfg config.Config) string {
	owner := cfg.Source.Owner
	if owner == "" {
		owner = nobody
	}
	encoded, err := json.Marshal(owner)
	if err != nil {
		panic(err) // a text is always JSON
	}
	complete := strings.NewReplacer(
		`"${JobSeconds}"`, strconv.Itoa(60*cfg.ETL.JobMinutes()), "${JobSeconds}",
		strconv.Itoa(60*cfg.ETL.JobMinutes()),
		`"${RefreshSeconds}"`, strconv.Itoa(refreshSeconds),
		`"${ExecutionSeconds}"`, strconv.Itoa(60*cfg.ETL.ExecutionMinutes()),
		`"${SourceOwner}"`, strings.ReplaceAll(string(encoded), "$", `\u0024`),
	).Replace(definition)
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(complete)); err != nil {
		panic("stacks/batch.asl.json: " + err.Error())
	}
	return compact.String()
}
