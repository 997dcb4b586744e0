// Package loadbalancer makes an internet-facing Application Load Balancer with one target group: it
// admits stated clients on its listeners and nobody else, speaks HTTPS where it has a certificate,
// and tells of errors, slowness and lack of healthy targets. It must not know what the targets
// serve, nor what starts them.
package loadbalancer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	elb "github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/alarm"
	"diecast/constructs/nag"
)

const (
	httpPort  = 80
	httpsPort = 443
)

// The balancer asks a target's health this often, takes it in after so many good answers, and out
// after so many bad ones.
const (
	HealthInterval  = 10 * time.Second
	HealthyAfter    = 2
	UnhealthyAfter  = 2
	healthTimeout   = 5 * time.Second
	longestDraining = time.Hour // Elastic Load Balancing API reference, deregistration_delay
)

// Login is an OpenID Connect provider with which the balancer logs people in before any target sees
// their request. Targets find who it was in the header x-amzn-oidc-data, and must verify it.
type Login struct {
	Issuer, AuthorizationEndpoint, TokenEndpoint, UserInfoEndpoint string
	ClientID                                                       string
	// ClientSecret is a reference; the secret itself never stands in a template.
	ClientSecret awscdk.SecretValue
}

// Token is a JSON Web Token, signed by RS256, without which the balancer passes no request on whose
// path begins with Prefix: it answers 401 by itself. A target must answer below Prefix only what is
// asked for by exactly these letters, because the balancer compares a path as it was sent: it may
// not know /%61pi/ for /api/. No login is asked for there. Where the issuer publishes its keys the
// balancer must reach over the internet; they may be 10, in 150 KB.
type Token struct {
	Issuer, JWKSEndpoint string
	// Audience is what the token's claim aud must be, as one text.
	Audience string
	// Prefix begins and ends with a slash, such as /api/.
	Prefix string
	// Preflights lets the requests of method OPTIONS through, with which browsers ask whether a
	// site's scripts may send a token: they bear none.
	Preflights bool
	// RequestsPerAddress takes the place of that of Props below Prefix: who bears a token may ask
	// for many. Default 0: no other limit than Props's. Only with that.
	RequestsPerAddress int
}

// Props configures a load balancer.
type Props struct {
	// VPC and Subnets place the balancer; the subnets must be public, in two zones or more.
	VPC     awsec2.IVpc
	Subnets *awsec2.SubnetSelection
	// AllowedCIDRs are the clients. Default none: nobody is admitted.
	AllowedCIDRs []netip.Prefix
	// CertificateARN names an ACM certificate: HTTPS on 443, and a redirect from 80. Default "":
	// plain HTTP on 80.
	CertificateARN string
	// Login stands before every request. Default nil: nobody logs in. Only with CertificateARN.
	Login *Login
	// Token stands before some requests. Default nil: none. Only with CertificateARN.
	Token *Token
	// TargetPort is the port of the targets. Required.
	TargetPort int
	// HealthPath is asked of each target, and must be cheap. Required.
	HealthPath string
	// Drain is how long a target that leaves may finish its requests, in whole seconds up to an
	// hour. Default 0: they are cut off.
	Drain time.Duration
	// RequestsPerAddress puts WAF before the balancer: AWS's common rules, and no more requests
	// than this from one address in five minutes. With Login, the common rules leave the balancer's
	// own callback alone. Default 0: no WAF.
	RequestsPerAddress int
	// MedianSlowness has half of the requests tell of slowness, when they take longer than this, in
	// whole seconds: for targets that hold some requests on purpose. Default 0: the 99th percentile
	// does, after a second.
	MedianSlowness time.Duration
	// AccessLogs receives the log of requests and of health checks below a prefix named after this
	// balancer's path; its policy must admit Elastic Load Balancing. Default nil: neither is
	// logged.
	AccessLogs awss3.IBucket
	// UnloggedReason is why access is not logged (ELB2). Required without AccessLogs.
	UnloggedReason string
	// AlarmTopic hears of errors, slowness, and targets that are not healthy. Default nil: only the
	// console shows them.
	AlarmTopic awssns.ITopic
}

// Balancer is a load balancer with its target group.
type Balancer struct {
	balancer elb.ApplicationLoadBalancer
	targets  elb.ApplicationTargetGroup
	secure   bool
	errors   awscloudwatch.Alarm
	alarms   []awscloudwatch.Alarm
}

// New makes a balancer at id in scope.
func New(scope constructs.Construct, id string, p Props) *Balancer {
	p.validate()
	this := constructs.NewConstruct(scope, jsii.String(id))
	b := &Balancer{secure: p.CertificateARN != ""}
	b.balancer = elb.NewApplicationLoadBalancer(this, jsii.String("Balancer"), &elb.ApplicationLoadBalancerProps{
		Vpc: p.VPC, VpcSubnets: p.Subnets, InternetFacing: jsii.Bool(true),
		SecurityGroup: newGroup(this, p),
		// What a proxy and a server could read differently is not passed on.
		DropInvalidHeaderFields: jsii.Bool(true),
		DesyncMitigationMode:    elb.DesyncMitigationMode_STRICTEST,
		IdleTimeout:             awscdk.Duration_Seconds(jsii.Number(60)),
	})
	b.logAccess(*this.Node().Path(), p)
	b.targets = elb.NewApplicationTargetGroup(this, jsii.String("Targets"), &elb.ApplicationTargetGroupProps{
		Vpc: p.VPC, TargetType: elb.TargetType_INSTANCE,
		Port: jsii.Number(p.TargetPort), Protocol: elb.ApplicationProtocol_HTTP,
		DeregistrationDelay: awscdk.Duration_Seconds(jsii.Number(p.Drain.Seconds())),
		HealthCheck: &elb.HealthCheck{
			Path: jsii.String(p.HealthPath), HealthyHttpCodes: jsii.String("200"),
			Interval:                awscdk.Duration_Seconds(jsii.Number(HealthInterval.Seconds())),
			Timeout:                 awscdk.Duration_Seconds(jsii.Number(healthTimeout.Seconds())),
			HealthyThresholdCount:   jsii.Number(HealthyAfter),
			UnhealthyThresholdCount: jsii.Number(UnhealthyAfter),
		},
	})
	b.listen(p)
	if p.RequestsPerAddress > 0 {
		protect(this, b.balancer, p)
	}
	b.alarms = alarm.New(this, p.AlarmTopic, b.rules(p)...)
	b.errors = b.alarms[0]
	return b
}

func (p Props) validate() {
	if p.TargetPort < 1 || p.TargetPort > 65535 {
		panic(fmt.Sprintf("loadbalancer: TargetPort must be 1 to 65535, got %d; name the port of the targets",
			p.TargetPort))
	}
	if !strings.HasPrefix(p.HealthPath, "/") {
		panic(fmt.Sprintf("loadbalancer: HealthPath must begin with /, got %q; for example /healthz", p.HealthPath))
	}
	if p.Drain < 0 || p.Drain > longestDraining || p.Drain%time.Second != 0 {
		panic(fmt.Sprintf("loadbalancer: Drain must be whole seconds up to 1h, got %s; 30s is enough for pages",
			p.Drain))
	}
	for _, clients := range p.AllowedCIDRs {
		if !clients.IsValid() || !clients.Addr().Is4() {
			panic(fmt.Sprintf("loadbalancer: AllowedCIDRs must be IPv4 ranges, got %s; the balancer has no IPv6 "+
				"address", clients))
		}
	}
	if p.Login != nil && p.CertificateARN == "" {
		panic("loadbalancer: Login needs CertificateARN, got none; a login travels over HTTPS only")
	}
	limits := []int{p.RequestsPerAddress}
	if p.Token != nil {
		p.Token.validate(p)
		limits = append(limits, p.Token.RequestsPerAddress)
	}
	for _, limit := range limits {
		if limit != 0 && (limit < 10 || limit > 2_000_000_000) {
			panic(fmt.Sprintf("loadbalancer: RequestsPerAddress must be 0 or 10 to 2000000000, got %d; see the WAF "+
				"quotas", limit))
		}
	}
	if p.MedianSlowness < 0 || p.MedianSlowness%time.Second != 0 {
		panic(fmt.Sprintf("loadbalancer: MedianSlowness must be whole seconds, got %s; or 0 for the 99th percentile",
			p.MedianSlowness))
	}
	if p.AccessLogs == nil && p.UnloggedReason == "" {
		panic("loadbalancer: UnloggedReason must say why AwsSolutions-ELB2 is accepted, got none; or give AccessLogs")
	}
}

func (t Token) validate(p Props) {
	if p.CertificateARN == "" {
		panic("loadbalancer: Token needs CertificateARN, got none; a token travels over HTTPS only")
	}
	if t.Issuer == "" || t.JWKSEndpoint == "" || t.Audience == "" {
		panic(fmt.Sprintf("loadbalancer: Token needs Issuer, JWKSEndpoint and Audience, got %q, %q and %q",
			t.Issuer, t.JWKSEndpoint, t.Audience))
	}
	// A pattern has 128 characters at most, and these two are wild in it.
	if !strings.HasPrefix(t.Prefix, "/") || !strings.HasSuffix(t.Prefix, "/") || len(t.Prefix) > 127 ||
		strings.ContainsAny(t.Prefix, "*?") {
		panic(fmt.Sprintf("loadbalancer: Prefix must begin and end with / and have up to 127 characters without * and "+
			"?, got %q; for example /api/", t.Prefix))
	}
	if t.RequestsPerAddress != 0 && p.RequestsPerAddress == 0 {
		panic(fmt.Sprintf("loadbalancer: RequestsPerAddress of Token needs that of Props, got %d and 0; without WAF "+
			"there is no limit", t.RequestsPerAddress))
	}
}

// ports are those of the listeners.
func (p Props) ports() []int {
	if p.CertificateARN != "" {
		return []int{httpPort, httpsPort}
	}
	return []int{httpPort}
}

// newGroup admits the clients on the listeners, port by port. What the balancer may reach is added
// with its targets.
func newGroup(scope constructs.Construct, p Props) awsec2.SecurityGroup {
	group := awsec2.NewSecurityGroup(scope, jsii.String("SecurityGroup"), &awsec2.SecurityGroupProps{
		Vpc:              p.VPC,
		Description:      jsii.String("Load balancer: from admitted clients to the targets"),
		AllowAllOutbound: jsii.Bool(false),
	})
	for _, clients := range p.AllowedCIDRs {
		for _, port := range p.ports() {
			group.AddIngressRule(awsec2.Peer_Ipv4(jsii.String(clients.String())), awsec2.Port_Tcp(jsii.Number(port)),
				jsii.String("Admitted clients"), nil)
		}
	}
	if slices.ContainsFunc(p.AllowedCIDRs, func(clients netip.Prefix) bool { return clients.Bits() == 0 }) {
		nag.Accept(group, nag.Exception{Rule: "AwsSolutions-EC23",
			Reason: "The configuration writes out that this balancer admits everybody; its group opens the " +
				"listeners' ports and no other."})
	}
	return group
}

// logAccess sets attributes. The L2 construct would write into the policy of the log bucket, whose
// stack would so depend on this one, and needs a region that is known at synthesis.
func (b *Balancer) logAccess(path string, p Props) {
	set := func(log string) {
		enabled := p.AccessLogs != nil
		b.balancer.SetAttribute(jsii.String(log+".s3.enabled"), jsii.String(fmt.Sprint(enabled)))
		if enabled {
			b.balancer.SetAttribute(jsii.String(log+".s3.bucket"), p.AccessLogs.BucketName())
			b.balancer.SetAttribute(jsii.String(log+".s3.prefix"), jsii.String(path))
		}
	}
	set("access_logs")
	// Why a target was taken out is told nowhere else.
	set("health_check_logs")
	if p.AccessLogs == nil {
		nag.Accept(b.balancer, nag.Exception{Rule: "AwsSolutions-ELB2", Reason: p.UnloggedReason})
	}
}

func (b *Balancer) listen(p Props) {
	serve := elb.ListenerAction_Forward(&[]elb.IApplicationTargetGroup{b.targets}, nil)
	if l := p.Login; l != nil {
		serve = elb.ListenerAction_AuthenticateOidc(&elb.AuthenticateOidcOptions{
			Issuer:                jsii.String(l.Issuer),
			AuthorizationEndpoint: jsii.String(l.AuthorizationEndpoint),
			TokenEndpoint:         jsii.String(l.TokenEndpoint),
			UserInfoEndpoint:      jsii.String(l.UserInfoEndpoint),
			ClientId:              jsii.String(l.ClientID),
			ClientSecret:          l.ClientSecret,
			AllowHttpsOutbound:    jsii.Bool(true),
			Next:                  serve,
		})
	}
	if !b.secure {
		b.balancer.AddListener(jsii.String("Http"), &elb.BaseApplicationListenerProps{
			Port: jsii.Number(httpPort), Protocol: elb.ApplicationProtocol_HTTP, Open: jsii.Bool(false),
			DefaultAction: serve,
		})
		return
	}
	https := b.balancer.AddListener(jsii.String("Https"), &elb.BaseApplicationListenerProps{
		Port: jsii.Number(httpsPort), Protocol: elb.ApplicationProtocol_HTTPS, Open: jsii.Bool(false),
		Certificates: &[]elb.IListenerCertificate{
			elb.ListenerCertificate_FromArn(jsii.String(p.CertificateARN)),
		},
		SslPolicy: elb.SslPolicy_TLS13_12_RES_PQ, DefaultAction: serve,
	})
	b.balancer.AddListener(jsii.String("Http"), &elb.BaseApplicationListenerProps{
		Port: jsii.Number(httpPort), Protocol: elb.ApplicationProtocol_HTTP, Open: jsii.Bool(false),
		DefaultAction: elb.ListenerAction_Redirect(&elb.RedirectOptions{
			Protocol: jsii.String("HTTPS"), Port: jsii.String(fmt.Sprint(httpsPort)), Permanent: jsii.Bool(true),
		}),
	})
	if p.Token != nil {
		b.demand(*p.Token, https)
	}
}

// demand puts the rules on tokens before what the listener does else.
func (b *Balancer) demand(t Token, listener elb.ApplicationListener) {
	forward := elb.ListenerAction_Forward(&[]elb.IApplicationTargetGroup{b.targets}, nil)
	below := elb.ListenerCondition_PathPatterns(jsii.Strings(t.Prefix + "*"))
	if t.Preflights {
		elb.NewApplicationListenerRule(listener, jsii.String("Preflights"), &elb.ApplicationListenerRuleProps{
			Listener: listener, Priority: jsii.Number(1), Action: forward,
			Conditions: &[]elb.ListenerCondition{
				below, elb.ListenerCondition_HttpRequestMethods(jsii.Strings("OPTIONS")),
			},
		})
	}
	rule := elb.NewApplicationListenerRule(listener, jsii.String("Token"), &elb.ApplicationListenerRuleProps{
		Listener: listener, Priority: jsii.Number(2), Conditions: &[]elb.ListenerCondition{below},
		Action: elb.ListenerAction_AuthenticateJwt(&elb.AuthenticateJwtOptions{
			Issuer: jsii.String(t.Issuer), JwksEndpoint: jsii.String(t.JWKSEndpoint), Next: forward,
		}),
	})
	// The L2 construct knows no claims but those of time and issuer: without the audience a token
	// that the issuer gave for any other program would do.
	rule.Node().DefaultChild().(elb.CfnListenerRule).AddPropertyOverride(
		jsii.String("Actions.0.JwtValidationConfig.AdditionalClaims"), []map[string]any{{
			"Format": "single-string", "Name": "aud", "Values": []string{t.Audience},
		}})
	listener.Connections().AllowToAnyIpv4(awsec2.Port_Tcp(jsii.Number(httpsPort)), jsii.String("Keys of the issuer"))
}

// Metrics are what a dashboard shows of a balancer.
type Metrics struct {
	// Requests and RequestsPerTarget are counts in a minute.
	Requests, RequestsPerTarget awscloudwatch.IMetric
	// Slowest is the 99th percentile of the targets' response times, in seconds, Median the half of
	// them.
	Slowest, Median awscloudwatch.IMetric
	// Errors is the share of answers 5XX, of targets and of the balancer itself, in percent.
	Errors awscloudwatch.IMetric
	// Healthy and Unhealthy are numbers of targets.
	Healthy, Unhealthy awscloudwatch.IMetric
}

// Metrics are the balancer's, each minute.
func (b *Balancer) Metrics() Metrics {
	minute := awscdk.Duration_Minutes(jsii.Number(1))
	of := func(statistic string) *awscloudwatch.MetricOptions {
		return &awscloudwatch.MetricOptions{Period: minute, Statistic: jsii.String(statistic)}
	}
	balancer, targets := b.balancer.Metrics(), b.targets.Metrics()
	return Metrics{
		Requests:          balancer.RequestCount(of("Sum")),
		RequestsPerTarget: targets.RequestCountPerTarget(of("Sum")),
		Slowest:           targets.TargetResponseTime(of("p99")),
		Median:            targets.TargetResponseTime(of("p50")),
		Errors: awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
			// The balancer counts a request only where it found a target for it.
			Expression: jsii.String("100 * (FILL(target, 0) + FILL(own, 0)) / " +
				"MAX([FILL(requests, 0) + FILL(own, 0), TIME_SERIES(1)])"),
			Label:  jsii.String("Answers 5XX, % of requests"),
			Period: minute,
			UsingMetrics: &map[string]awscloudwatch.IMetric{
				"target":   balancer.HttpCodeTarget(elb.HttpCodeTarget_TARGET_5XX_COUNT, of("Sum")),
				"own":      balancer.HttpCodeElb(elb.HttpCodeElb_ELB_5XX_COUNT, of("Sum")),
				"requests": balancer.RequestCount(of("Sum")),
			},
		}),
		Healthy:   targets.HealthyHostCount(of("Maximum")),
		Unhealthy: targets.UnhealthyHostCount(of("Maximum")),
	}
}

// rules begin with the one on errors, which a deployment watches, too.
func (b *Balancer) rules(p Props) []alarm.Rule {
	m := b.Metrics()
	slow := alarm.Rule{
		ID:          "Slow",
		Description: "Pages take more than 1 s at the 99th percentile: look at the servers' CPU, then at their log.",
		Metric:      m.Slowest, Threshold: 1, Periods: 5, Breaching: 3,
	}
	if p.MedianSlowness > 0 {
		slow.Metric, slow.Threshold = m.Median, p.MedianSlowness.Seconds()
		slow.Description = fmt.Sprintf("Half of the requests take more than %.0f s, those that wait for an answer "+
			"included: look at the servers' CPU, then at their log.", p.MedianSlowness.Seconds())
	}
	return []alarm.Rule{{
		ID: "Errors",
		Description: "More than 5 % of the answers to clients are 5XX: read the servers' log; none of it, and no " +
			"target is healthy.",
		Metric: m.Errors, Threshold: 5, Periods: 5, Breaching: 3,
	}, slow, {
		ID:          "Unhealthy",
		Description: "A target fails its health check for minutes: read its log; it is replaced by itself.",
		// Half of the minutes: one that is replaced by another that fails is none for a while.
		Metric: m.Unhealthy, Threshold: 0, Periods: 10, Breaching: 5,
	}, {
		ID:          "NoneHealthy",
		Description: "No target is healthy, and nobody is served: look at the group's activity, then at the boot log.",
		Metric:      m.Healthy, Threshold: 1, Breach: alarm.Below, Periods: 3, Missing: alarm.MissingBreaches,
	}}
}

// Targets is the target group, for what registers instances in it.
func (b *Balancer) Targets() elb.ApplicationTargetGroup { return b.targets }

// ARN is the balancer's, known at deployment: the signer of the header of who logged in.
func (b *Balancer) ARN() *string { return b.balancer.LoadBalancerArn() }

// Address is where clients reach the balancer, known at deployment.
func (b *Balancer) Address() *string {
	scheme := "http://"
	if b.secure {
		scheme = "https://"
	}
	return jsii.String(scheme + *b.balancer.LoadBalancerDnsName())
}

// Errors is the alarm on 5XX answers, by which a deployment is known to have failed.
func (b *Balancer) Errors() awscloudwatch.Alarm { return b.errors }

// Alarms are the balancer's alarms, for a dashboard.
func (b *Balancer) Alarms() []awscloudwatch.Alarm { return b.alarms }
