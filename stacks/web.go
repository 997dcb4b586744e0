package stacks

import (
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/config"
	"diecast/constructs/goserver"
	"diecast/constructs/loadbalancer"
	"diecast/constructs/privatenetwork"
	"diecast/constructs/securebucket"
	"diecast/constructs/webfleet"
	"diecast/internal/awsdb/certificates"
	"diecast/internal/deployment/outputs"
	"diecast/internal/environment"
	"diecast/sql"
)

const (
	webPort = 8080
	// webDrainSeconds is how long a page may take to end when its server goes.
	webDrainSeconds = 30
	// webWarmupSeconds is the course's.
	webWarmupSeconds = 60
	// webCPUPercent is the second guard of scaling: a burstable instance earns CPU credits at less.
	webCPUPercent = 60
	// webRequestsPerAddress is what WAF takes from one address in five minutes: an office behind
	// one address whose fifty people open a page every ten seconds.
	webRequestsPerAddress = 2000
	// webLogs begins the keys of the servers' logs.
	webLogs = "web/"
)

// Web is the tier that people see: a load balancer and a group of servers with pages on sales.
type Web struct {
	Stack    awscdk.Stack
	Balancer *loadbalancer.Balancer
	Fleet    *webfleet.Fleet
}

// WebServer is the program of the tier.
func WebServer(cfg config.Config) goserver.Props {
	return goserver.Props{Source: "web", Architecture: cfg.Web.Architecture()}
}

// NewWeb adds the stack.
func NewWeb(app constructs.Construct, cfg config.Config, network *Network, batch *Batch) *Web {
	stack := newStack(app, cfg, outputs.Web, "Load balancer and web servers with pages on sales")
	w := &Web{Stack: stack}
	w.Balancer = loadbalancer.New(stack, "LoadBalancer", balancer(cfg, network))
	w.Fleet = w.newFleet(cfg, network, batch)

	output(stack, outputs.PageAddress, w.Balancer.Address())
	output(stack, outputs.WebGroupName, w.Fleet.Name())
	output(stack, outputs.WebTargetGroupARN, w.Balancer.Targets().TargetGroupArn())
	return w
}

func balancer(cfg config.Config, network *Network) loadbalancer.Props {
	props := loadbalancer.Props{
		VPC:            network.VPC(),
		Subnets:        &awsec2.SubnetSelection{SubnetGroupName: jsii.String(privatenetwork.Public)},
		AllowedCIDRs:   cfg.Web.AllowedCIDRs,
		CertificateARN: cfg.Web.CertificateARN,
		TargetPort:     webPort,
		HealthPath:     "/healthz",
		Drain:          seconds(webDrainSeconds),
		AccessLogs:     network.AccessLogs,
		UnloggedReason: unlogged,
		AlarmTopic:     network.AlarmTopic,
	}
	if cfg.Web.WAF {
		props.RequestsPerAddress = webRequestsPerAddress
	}
	if login := cfg.Web.OIDC; login.On() {
		props.Login = &loadbalancer.Login{
			Issuer: login.Issuer, AuthorizationEndpoint: login.AuthorizationEndpoint,
			TokenEndpoint: login.TokenEndpoint, UserInfoEndpoint: login.UserInfoEndpoint,
			ClientID:     login.ClientID,
			ClientSecret: awscdk.SecretValue_SecretsManager(jsii.String(login.ClientSecretName), nil),
		}
	}
	return props
}

func (w *Web) newFleet(cfg config.Config, network *Network, batch *Batch) *webfleet.Fleet {
	logs := securebucket.New(w.Stack, "Logs", securebucket.Props{
		Expiries:       []securebucket.Expiry{{After: days(cfg.Functions.LogRetentionDays)}},
		Destroy:        cfg.DestroysData(),
		AccessLogs:     network.AccessLogs,
		UnloggedReason: unlogged,
	})
	output(w.Stack, outputs.WebLogsBucketName, logs.Name())
	server := goserver.New(w.Stack, "Server", WebServer(cfg))
	told := w.environment(cfg, batch)
	var files map[string]string
	if batch.trusted != nil {
		files = map[string]string{certificates.FileName: batch.trusted.write(w.Stack)}
		told.CAFile = webfleet.PathOf(server, certificates.FileName)
	}
	fleet := webfleet.New(w.Stack, "Fleet", webfleet.Props{
		Server:      server,
		Description: "Diecast's pages on sales",
		Environment: variables(told),
		Files:       files,
		VPC:         network.VPC(), Subnets: network.ApplicationSubnets(),
		SecurityGroup: network.NewSecurityGroup(w.Stack, "ServerSecurityGroup",
			"Web servers: from the load balancer, to the source and to AWS", network.OpenHTTPS, batch.Source.Admit),
		InstanceType: cfg.Web.InstanceType, MemoryMiB: cfg.Web.MemoryMiB(),
		Min: cfg.Web.MinInstances, Max: cfg.Web.MaxInstances,
		Targets:           w.Balancer.Targets(),
		RequestsPerMinute: cfg.Web.RequestsPerTargetPerMinute,
		CPUPercent:        webCPUPercent,
		Warmup:            seconds(webWarmupSeconds),
		SpotAboveMin:      cfg.Web.SpotAboveMinimum,
		Drain:             seconds(webDrainSeconds),
		Shell:             cfg.Network.SessionManager || cfg.Network.NAT != config.NATNone,
		Logs:              logs, LogPrefix: webLogs,
		FailedBy:   w.Balancer.Errors(),
		AlarmTopic: network.AlarmTopic,
	})
	batch.Source.AllowLogin(fleet.Role(), sql.WebReader)
	return fleet
}

// environment is what the servers are told.
func (w *Web) environment(cfg config.Config, batch *Batch) environment.Web {
	told := environment.Web{
		Database: environment.Database{
			Host: *batch.Source.Host(), Port: *batch.Source.Port(), Name: batch.Source.Name(),
			User: sql.WebReader, Auth: environment.IAM, TLS: environment.VerifyFull, Region: *w.Stack.Region(),
			Generation: batch.generation,
		},
		Port:           strconv.Itoa(webPort),
		Sales:          environment.Withheld,
		Refresh:        environment.Seconds(seconds(60 * cfg.Web.RefreshMinutes)),
		Drain:          environment.Seconds(seconds(webDrainSeconds)),
		HTTPS:          environment.Switch(cfg.Web.CertificateARN != ""),
		FrameAncestors: cfg.Web.FrameAncestors,
	}
	if cfg.Web.ServesSales() {
		told.Sales = environment.Served
	}
	if cfg.Web.OIDC.On() {
		told.OIDC = environment.OIDC{
			Issuer: cfg.Web.OIDC.Issuer, ClientID: cfg.Web.OIDC.ClientID, LoadBalancer: *w.Balancer.ARN(),
			Provider: cfg.Web.OIDC.Provider(),
		}
	}
	return told
}
