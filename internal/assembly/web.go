package assembly

import (
	"cmp"
	"strings"
	"time"
)

// ServerGroup is an AWS::AutoScaling::AutoScalingGroup of servers of the platform's own, compiled
// from Go.
type ServerGroup struct {
	// Name is the physical name that the template asks for; empty: any.
	Name string
	// Source is the Go package that its instances run, such as web.
	Source      string
	Environment map[string]string
	// Size is the smallest number of instances, Zones in how many zones they stand by turns.
	Size, Zones int
	// Grace is how long a new instance may take until it is healthy.
	Grace time.Duration
	// TargetGroupARN gets the instances.
	TargetGroupARN string
}

// decodeServerGroup takes limits and defaults from the API reference of Auto Scaling
// (CreateAutoScalingGroup). What an instance runs stands in the resource's metadata: the launch
// template, whose script starts the same on AWS, has no meaning here.
func decodeServerGroup(o *object) *ServerGroup {
	o.need("MinSize", "VPCZoneIdentifier", "TargetGroupARNs", "HealthCheckType")
	o.ignore(noInstances, "LaunchTemplate", "MixedInstancesPolicy")
	o.ignore(noScaling, "MaxSize", "DesiredCapacity", "Cooldown", "TerminationPolicies")
	o.ignore("a process is as fast as it will be once it is healthy", "DefaultInstanceWarmup")
	o.ignore(noMetrics, "MetricsCollection")
	o.ignore(noAlarms, "NotificationConfigurations")
	o.ignore(noTags, "Tags")
	o.oneOf("HealthCheckType", "ELB")
	group := &ServerGroup{
		Name:  o.text("AutoScalingGroupName"),
		Size:  o.integer("MinSize", 1, 1, 100),
		Zones: len(o.texts("VPCZoneIdentifier")),
		Grace: time.Duration(o.integer("HealthCheckGracePeriod", 300, 1, 7200)) * time.Second,
	}
	targets := o.texts("TargetGroupARNs")
	if len(targets) == 1 {
		group.TargetGroupARN = targets[0]
	} else {
		o.refuse("TargetGroupARNs", "one target group")
	}
	if o.server == nil {
		o.fail(at("Metadata").field(ServerMetadata),
			"got nothing, want package and environment of the program that the instances run: a laptop runs the "+
				"platform's own servers only")
		return group
	}
	server := o.within(o.server, at("Metadata").field(ServerMetadata))
	server.need("package", "environment")
	group.Source = strings.TrimPrefix(server.text("package"), "./")
	group.Environment = server.table("environment")
	return group
}

// LoadBalancer is an AWS::ElasticLoadBalancingV2::LoadBalancer for HTTP.
type LoadBalancer struct {
	// Name is the physical name that the template asks for; empty: any.
	Name string
	// Idle ends a connection over which nothing comes, KeepAlive a client's that waits for its next
	// request.
	Idle, KeepAlive    time.Duration
	DropInvalidHeaders bool
	// ForwardedFor says what becomes of X-Forwarded-For: append, preserve or remove.
	ForwardedFor string
}

// decodeLoadBalancer takes attributes with their defaults from the API reference of Elastic Load
// Balancing (LoadBalancerAttribute).
func decodeLoadBalancer(o *object) *LoadBalancer {
	o.ignore(noNetwork, "IpAddressType", "Scheme", "SecurityGroups", "SubnetMappings", "Subnets")
	o.ignore(noTags, "Tags")
	o.oneOf("Type", "application")
	attributes := o.named("LoadBalancerAttributes", "Key", "Value")
	attributes.ignore("what a run makes goes with it", "deletion_protection.enabled")
	attributes.ignore("a laptop keeps no access logs", "access_logs.s3.bucket", "access_logs.s3.enabled",
		"access_logs.s3.prefix", "connection_logs.s3.bucket", "connection_logs.s3.enabled", "connection_logs.s3.prefix",
		"health_check_logs.s3.bucket", "health_check_logs.s3.enabled", "health_check_logs.s3.prefix")
	attributes.ignore("the laptop's balancer refuses every request that it cannot read",
		"routing.http.desync_mitigation_mode")
	attributes.ignore(noNetwork, "load_balancing.cross_zone.enabled", "waf.fail_open.enabled",
		"zonal_shift.config.enabled")
	attributes.ignore("the laptop's balancer leaves the header as it is", "routing.http.preserve_host_header.enabled")
	seconds := func(name string, absent, most int) time.Duration {
		return time.Duration(attributes.integer(name, absent, 1, most)) * time.Second
	}
	return &LoadBalancer{
		Name:               o.text("Name"),
		Idle:               seconds("idle_timeout.timeout_seconds", 60, 4000),
		KeepAlive:          seconds("client_keep_alive.seconds", 3600, 604_800),
		DropInvalidHeaders: attributes.boolean("routing.http.drop_invalid_header_fields.enabled", false),
		ForwardedFor: attributes.oneOf("routing.http.xff_header_processing.mode",
			"append", "preserve", "remove"),
	}
}

// TargetGroup is an AWS::ElasticLoadBalancingV2::TargetGroup of instances that speak HTTP.
type TargetGroup struct {
	// Name is the physical name that the template asks for; empty: any.
	Name string
	// HealthPath is asked each HealthInterval; an answer within HealthTimeout with a status of
	// HealthyStatuses, such as 200-299, is good.
	HealthPath, HealthyStatuses   string
	HealthInterval, HealthTimeout time.Duration
	// HealthyThreshold and UnhealthyThreshold are answers in a row.
	HealthyThreshold, UnhealthyThreshold int
	// DeregistrationDelay bounds how long requests under way may take when their instance goes.
	DeregistrationDelay time.Duration
	// MinimumHealthy is the number of healthy instances below which all get requests.
	MinimumHealthy int
	// LeastOutstanding prefers the instance with the fewest requests under way; else they take
	// turns.
	LeastOutstanding bool
}

// decodeTargetGroup takes limits and defaults from the API reference of Elastic Load Balancing
// (CreateTargetGroup, TargetGroupAttribute).
func decodeTargetGroup(o *object) *TargetGroup {
	o.ignore(noNetwork, "VpcId", "IpAddressType")
	o.ignore(noTags, "Tags")
	o.ignore("each of the laptop's instances has a port of its own", "Port")
	o.oneOf("Protocol", "HTTP")
	o.oneOf("ProtocolVersion", "HTTP1")
	o.oneOf("TargetType", "instance")
	o.oneOf("HealthCheckProtocol", "HTTP")
	o.oneOf("HealthCheckPort", "traffic-port")
	if !o.boolean("HealthCheckEnabled", true) {
		o.refuse("HealthCheckEnabled", "true")
	}
	attributes := o.named("TargetGroupAttributes", "Key", "Value")
	attributes.ignore(noNetwork, "load_balancing.cross_zone.enabled",
		"target_group_health.dns_failover.minimum_healthy_targets.count",
		"target_group_health.dns_failover.minimum_healthy_targets.percentage")
	if attributes.boolean("stickiness.enabled", false) {
		attributes.refuse("stickiness.enabled", "false: the laptop's balancer remembers no client")
	}
	attributes.ignore("stickiness is not enabled", "stickiness.type", "stickiness.lb_cookie.duration_seconds",
		"stickiness.app_cookie.cookie_name", "stickiness.app_cookie.duration_seconds")
	attributes.integer("slow_start.duration_seconds", 0, 0, 0)
	const minimum = "target_group_health.unhealthy_state_routing.minimum_healthy_targets."
	attributes.oneOf(minimum+"percentage", "off")
	seconds := func(o *object, name string, absent, least, most int) time.Duration {
		return time.Duration(o.integer(name, absent, least, most)) * time.Second
	}
	return &TargetGroup{
		Name:                o.text("Name"),
		HealthPath:          cmp.Or(o.text("HealthCheckPath"), "/"),
		HealthyStatuses:     cmp.Or(o.part("Matcher").text("HttpCode"), "200"),
		HealthInterval:      seconds(o, "HealthCheckIntervalSeconds", 30, 5, 300),
		HealthTimeout:       seconds(o, "HealthCheckTimeoutSeconds", 5, 2, 120),
		HealthyThreshold:    o.integer("HealthyThresholdCount", 5, 2, 10),
		UnhealthyThreshold:  o.integer("UnhealthyThresholdCount", 2, 2, 10),
		DeregistrationDelay: seconds(attributes, "deregistration_delay.timeout_seconds", 300, 0, 3600),
		MinimumHealthy:      attributes.integer(minimum+"count", 1, 1, 1000),
		LeastOutstanding: attributes.oneOf("load_balancing.algorithm.type", "round_robin",
			"least_outstanding_requests") != "round_robin",
	}
}

// Listener is an AWS::ElasticLoadBalancingV2::Listener with one action.
type Listener struct {
	LoadBalancerARN string
	Port            int
	// Secure takes HTTPS, else HTTP.
	Secure bool
	// TargetGroupARN gets the requests; empty: they are answered with Redirect.
	TargetGroupARN string
	Redirect       *Redirect
}

// Redirect sends clients elsewhere. Each part may hold #{protocol}, #{host}, #{port}, #{path} and
// #{query}.
type Redirect struct {
	Permanent                         bool
	Protocol, Host, Port, Path, Query string
}

// decodeListener takes defaults from the API reference of Elastic Load Balancing (CreateListener,
// RedirectActionConfig).
func decodeListener(o *object) *Listener {
	o.need("DefaultActions", "LoadBalancerArn", "Port", "Protocol")
	o.ignore(noTags, "Tags")
	o.ignore("the laptop's balancer makes a certificate for itself", "Certificates", "SslPolicy")
	listener := &Listener{
		LoadBalancerARN: o.text("LoadBalancerArn"),
		Port:            o.integer("Port", 80, 1, 65_535),
		Secure:          o.oneOf("Protocol", "HTTP", "HTTPS") == "HTTPS",
	}
	actions := o.objects("DefaultActions")
	if len(actions) != 1 {
		o.refuse("DefaultActions", "one action: a laptop has nobody who logs people in")
	}
	for _, action := range actions {
		action.need("Type")
		action.integer("Order", 1, 1, 50_000)
		if action.oneOf("Type", "forward", "redirect") == "forward" {
			action.need("TargetGroupArn")
			listener.TargetGroupARN = action.text("TargetGroupArn")
			continue
		}
		to := action.part("RedirectConfig")
		to.need("StatusCode")
		listener.Redirect = &Redirect{
			Permanent: to.oneOf("StatusCode", "HTTP_301", "HTTP_302") == "HTTP_301",
			Protocol:  cmp.Or(to.text("Protocol"), "#{protocol}"),
			Host:      cmp.Or(to.text("Host"), "#{host}"),
			Port:      cmp.Or(to.text("Port"), "#{port}"),
			Path:      cmp.Or(to.text("Path"), "/#{path}"),
			Query:     cmp.Or(to.text("Query"), "#{query}"),
		}
	}
	return listener
}
