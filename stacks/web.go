package stacks

import (
	"regexp"
	"strconv"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/config"
	"diecast/constructs/goserver"
	"diecast/constructs/loadbalancer"
	"diecast/constructs/nag"
	"diecast/constructs/privatenetwork"
	"diecast/constructs/role"
	"diecast/constructs/securebucket"
	"diecast/constructs/webfleet"
	"diecast/internal/artifacts"
	"diecast/internal/awsdb/certificates"
	"diecast/internal/deployment/outputs"
	"diecast/internal/environment"
	"diecast/internal/models"
	"diecast/internal/recommendation/row"
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
	// webMedianSlowness is what a healthy wait for an event's answer stays below in 99 of 100 cases
	// (docs/latency.md): half of the requests never take longer, however many of them wait.
	webMedianSlowness = 2
	// webLogs begins the keys of the servers' logs.
	webLogs = "web/"
)

// Web is the tier that people and shops see: a load balancer and a group of servers with pages and
// the JSON API.
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
func NewWeb(app constructs.Construct, cfg config.Config, network *Network, vectors *Vectors, batch *Batch,
	streaming *Streaming) *Web {
	stack := newStack(app, cfg, outputs.Web, "Load balancer and web servers with pages and the JSON API")
	w := &Web{Stack: stack}
	w.Balancer = loadbalancer.New(stack, "LoadBalancer", balancer(cfg, network))
	w.Fleet = w.newFleet(cfg, network, vectors, batch, streaming)

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
		MedianSlowness: seconds(webMedianSlowness),
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
	if token := cfg.Web.JWT; token.On() {
		props.Token = &loadbalancer.Token{
			Issuer: token.Issuer, JWKSEndpoint: token.JWKSEndpoint, Audience: token.Audience,
			Prefix: environment.APIPrefix, Preflights: cfg.Web.ShopOrigins != "",
		}
		if cfg.Web.WAF {
			props.Token.RequestsPerAddress = max(webRequestsPerAddress,
				5*cfg.Web.RequestsPerTokenPerMinute*cfg.Web.MaxInstances)
		}
	}
	return props
}

func (w *Web) newFleet(cfg config.Config, network *Network, vectors *Vectors, batch *Batch, streaming *Streaming,
) *webfleet.Fleet {
	logs := securebucket.New(w.Stack, "Logs", securebucket.Props{
		Expiries:       []securebucket.Expiry{{After: days(cfg.Functions.LogRetentionDays)}},
		Destroy:        cfg.DestroysData(),
		AccessLogs:     network.AccessLogs,
		UnloggedReason: unlogged,
	})
	output(w.Stack, outputs.WebLogsBucketName, logs.Name())
	server := goserver.New(w.Stack, "Server", WebServer(cfg))
	told := w.environment(cfg, vectors, batch, streaming)
	var files map[string]string
	if batch.trusted != nil {
		files = map[string]string{certificates.FileName: batch.trusted.write(w.Stack)}
		told.Database.CAFile = webfleet.PathOf(server, certificates.FileName)
	}
	told.StoreLogin.CAFile = told.Database.CAFile
	fleet := webfleet.New(w.Stack, "Fleet", webfleet.Props{
		Server:      server,
		Description: "Diecast's pages and API",
		Environment: variables(told),
		Files:       files,
		VPC:         network.VPC(), Subnets: network.ApplicationSubnets(),
		SecurityGroup: network.NewSecurityGroup(w.Stack, "ServerSecurityGroup",
			// Another description would be another group.
			"Web servers: from the load balancer, to the source and to AWS", network.OpenHTTPS, batch.Source.Admit,
			vectors.Database.Admit),
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
	vectors.Database.AllowLogin(fleet.Role(), sql.WebReader)
	w.admitReading(cfg, fleet.Role(), vectors, streaming)
	return fleet
}

// admitReading lets the servers read rows, and of the models who is most popular: no vector of a
// customer, which lie beside. Only a shop writes, and only events.
func (w *Web) admitReading(cfg config.Config, servers *role.Role, vectors *Vectors, streaming *Streaming) {
	table := streaming.Table.Table().TableArn()
	servers.Allow("ReadRecommendations", []string{"dynamodb:GetItem", "dynamodb:BatchGetItem"}, table)
	servers.Allow("FindSessionsOfCustomers", []string{"dynamodb:Query"},
		jsii.String(*table+"/index/"+row.CustomerIndex))
	ofEveryModel := func(file string) *string {
		return jsii.String(*vectors.Artifacts.ARN() + "/" + models.Key("*", file))
	}
	servers.Allow("ReadPopularity", []string{"s3:GetObject"},
		ofEveryModel(artifacts.ManifestName), ofEveryModel(artifacts.PopularityFile))
	nag.Accept(servers.Role(), nag.Exception{
		Rule: "AwsSolutions-IAM5",
		Reason: "A model is a folder that is named by its content; of every one two files may be read, which hold no " +
			"customer's data.",
		Matching: []string{
			"^Resource::.+/" + regexp.QuoteMeta(models.Key("*", artifacts.ManifestName)) + "$",
			"^Resource::.+/" + regexp.QuoteMeta(models.Key("*", artifacts.PopularityFile)) + "$",
		},
	})
	if cfg.Web.Shop {
		// By its name, which the servers are told in every configuration: what is exported must not
		// follow a key.
		servers.Allow("PutEvents", []string{"kinesis:PutRecord"},
			w.Stack.FormatArn(&awscdk.ArnComponents{
				Service: jsii.String("kinesis"), Resource: jsii.String("stream"),
				ResourceName: streaming.Events.Stream().StreamName(),
			}))
	}
}

// environment is what the servers are told.
func (w *Web) environment(cfg config.Config, vectors *Vectors, batch *Batch, streaming *Streaming) environment.Web {
	store := vectors.environment(sql.WebReader, environment.IAM)
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
		Recommendations: environment.Recommendations{
			Table: *streaming.Table.Name(), ArtifactsBucket: store.ArtifactsBucket,
			Stream: *streaming.Events.Stream().StreamName(), Shop: environment.Switch(cfg.Web.Shop),
		},
		StoreLogin: environment.StoreLogin(store.Database),
		API: environment.API{
			Access: cfg.Web.API(), Origins: cfg.Web.ShopOrigins,
			SessionRate: environment.PerMinute(cfg.Web.RequestsPerSessionPerMinute),
			TokenRate:   environment.PerMinute(cfg.Web.RequestsPerTokenPerMinute),
		},
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
