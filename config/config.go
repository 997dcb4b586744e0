// Package config reads the platform's configuration: flat dotted keys from
// cdk.json or the command line's -c, over a profile's table of values. It says
// what is wrong with all of them at once. It must not know CDK.
package config

import (
	"net/netip"
)

// Config is a complete, checked configuration. Numbers are in the unit that
// their name ends in. Keys lists what each field means and may be.
type Config struct {
	// Profile is the table that gave the values nobody set.
	Profile string
	// Name begins every stack's name.
	Name      string
	Alarms    Alarms
	Data      Data
	Network   Network
	Vectors   Vectors
	Streaming Streaming
	Inference Inference
	Functions Functions
	Capacity  Capacity
}

// Alarms is who hears of alarms.
type Alarms struct {
	Email string
}

// Data is what becomes of stored data.
type Data struct {
	// Removal is RemovalRetain or RemovalDestroy: what the stacks' resources would do.
	Removal string
	// Destroy is the second key: without it nothing is destroyed whatever Removal says.
	Destroy                bool
	AccessLogs             bool
	AccessLogRetentionDays int
}

// Values of data.removal.
const (
	RemovalRetain  = "retain"
	RemovalDestroy = "destroy"
)

// DestroysData says whether removing a stack removes its data: only if the
// policy (data.removal) and the explicit flag (data.destroy) both say so.
func (c Config) DestroysData() bool {
	return c.Data.Removal == RemovalDestroy && c.Data.Destroy
}

// Network is the VPC.
type Network struct {
	CIDR                 netip.Prefix
	ReservedCIDRs        []netip.Prefix
	NAT                  string
	NATGateways          int
	SessionManager       bool
	EndpointPerZone      bool
	FlowLogRetentionDays int
}

// Values of network.nat.
const (
	NATNone     = "none"
	NATInstance = "instance"
	NATGateway  = "gateway"
)

// Vectors is the embeddings store.
type Vectors struct {
	InstanceClass       string
	StorageGiB          int
	MultiAZ             bool
	BackupRetentionDays int
	DeletionProtection  bool
}

// Streaming is the way of an event from the stream to the archive and the shop.
type Streaming struct {
	Mode                   string
	Shards                 int
	RetentionHours         int
	BufferMiB              int
	BufferSeconds          int
	ProcessorBufferMiB     float64
	ProcessorBufferSeconds int
	BatchSize              int
	BatchWindowSeconds     int
	Parallelization        int
	RetryAttempts          int
	MaxRecordAgeSeconds    int
	ArchiveRetentionDays   int
	ErrorRetentionDays     int
	RecommendationTTLHours int
	PointInTimeRecovery    bool
}

// Values of streaming.mode.
const (
	ModeProvisioned = "provisioned"
	ModeOnDemand    = "on-demand"
)

// OnDemand says whether Kinesis chooses the shards.
func (s Streaming) OnDemand() bool { return s.Mode == ModeOnDemand }

// Inference is the function that recommends.
type Inference struct {
	MemoryMiB           int
	ReservedConcurrency int
}

// Functions is what all functions share.
type Functions struct {
	LogRetentionDays int
}

// Capacity is the load that the platform must hold.
type Capacity struct {
	EventsPerSecond    int
	AccountConcurrency int
}
