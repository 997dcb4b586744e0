// Package quotas names the limits of AWS from which limits of the platform follow, each with its
// source. It knows nothing of what is bounded by them.
package quotas

// LambdaPayload bounds the request and the answer of a synchronous invocation, in bytes: the "6 MB"
// of the documentation are what Lambda's own refusal says, "maximum allowed payload size (6291556
// bytes)".
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const LambdaPayload = 6_291_556

// KinesisRecord bounds the data of one record of a Kinesis stream, in bytes, where nobody has
// raised the stream's own limit (UpdateMaxRecordSize; ours are as they are made).
// https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
const KinesisRecord = 1 << 20

// SecurityGroupRules is how many rules a security group takes in one direction, by default.
// https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
const SecurityGroupRules = 60
