// Package privatenetwork makes the platform's VPC: public subnets for the load
// balancer, application subnets for functions and servers, and isolated subnets
// for databases, over two availability zones, with the endpoints that let the
// application subnets reach AWS. It must not know who runs in it.
package privatenetwork

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/nag"
)

// Subnet groups of the VPC.
const (
	Public      = "Public"
	Application = "Application"
	Database    = "Database"
)

// availabilityZones is what every profile spans: two survive the loss of one.
const availabilityZones = 2

// maxDatabasePorts leaves room for the closing rule: a network ACL takes 20 rules in one direction
// (VPC quotas), and each port has one for each zone.
const maxDatabasePorts = 9

// NAT is how the application subnets reach the internet.
type NAT string

const (
	// NoNAT gives the application subnets no route to the internet.
	NoNAT NAT = "none"
	// NATInstance routes through one small EC2 instance: cheap, a single point of failure.
	NATInstance NAT = "instance"
	// NATGateway routes through managed gateways.
	NATGateway NAT = "gateway"
)

// Props configures the network.
type Props struct {
	// CIDR is the VPC's IPv4 range, /16 to /22; smaller ones leave no room for six subnets.
	CIDR netip.Prefix
	// NAT is the application subnets' way to the internet. Default NoNAT.
	NAT NAT
	// NATGateways is how many gateways serve NATGateway: 1, or 2 for one in each
	// zone, which survives the loss of a zone. Default 1.
	NATGateways int
	// SessionManager adds the three interface endpoints through which Session
	// Manager reaches instances without NAT. Default false: no shell on any instance.
	SessionManager bool
	// EndpointPerZone puts each interface endpoint in both zones. Default false:
	// one zone, half the price; its loss stops new logins with a secret.
	EndpointPerZone bool
	// DatabasePorts are those on which the database subnets take connections from the application
	// subnets, at most 9. Default none: a database there is reached by nobody.
	DatabasePorts []int
	// FlowLogRetention is how long the VPC flow log is kept. Required.
	FlowLogRetention awslogs.RetentionDays
}

// Network is the VPC with its endpoints.
type Network struct {
	vpc awsec2.Vpc
	// endpoints is there with NAT, too, without endpoints in it: other stacks
	// import its id, and an export that is in use can neither go nor come late.
	endpoints awsec2.SecurityGroup
}

// New makes the network at id in scope.
func New(scope constructs.Construct, id string, p Props) *Network {
	p = p.withDefaults()
	p.validate()
	this := constructs.NewConstruct(scope, jsii.String(id))
	n := &Network{}
	n.vpc = newVPC(this, p)
	n.logFlows(this, p)
	n.addInterfaceEndpoints(this, p)
	n.guardDatabaseSubnets(this, p)
	return n
}

func (p Props) withDefaults() Props {
	if p.NAT == "" {
		p.NAT = NoNAT
	}
	if p.NATGateways == 0 {
		p.NATGateways = 1
	}
	return p
}

func (p Props) validate() {
	if !p.CIDR.IsValid() || !p.CIDR.Addr().Is4() || p.CIDR.Bits() < 16 || p.CIDR.Bits() > 22 {
		panic(fmt.Sprintf("privatenetwork: CIDR must be an IPv4 range from /16 to /22, got %s; try 10.42.0.0/16",
			p.CIDR))
	}
	if p.NATGateways < 1 || p.NATGateways > availabilityZones {
		panic(fmt.Sprintf("privatenetwork: NATGateways must be 1 to %d, got %d; "+
			"one in each zone is the most that helps", availabilityZones, p.NATGateways))
	}
	if len(p.DatabasePorts) > maxDatabasePorts {
		panic(fmt.Sprintf("privatenetwork: DatabasePorts must be at most %d, got %d; a network ACL takes 20 rules",
			maxDatabasePorts, len(p.DatabasePorts)))
	}
	for i, port := range p.DatabasePorts {
		if port < 1 || port > 65535 || slices.Contains(p.DatabasePorts[:i], port) {
			panic(fmt.Sprintf("privatenetwork: DatabasePorts must be different ports from 1 to 65535, got %d; name "+
				"each once",
				p.DatabasePorts))
		}
	}
	if p.FlowLogRetention == "" {
		panic("privatenetwork: FlowLogRetention is required, got none; the log would be kept for ever")
	}
}

func newVPC(scope constructs.Construct, p Props) awsec2.Vpc {
	// Three groups in two zones are six subnets; eighths leave two spare for a
	// group that a user adds.
	mask := float64(p.CIDR.Bits() + 3)
	subnet := func(name string, kind awsec2.SubnetType) *awsec2.SubnetConfiguration {
		return &awsec2.SubnetConfiguration{Name: jsii.String(name), SubnetType: kind, CidrMask: jsii.Number(mask)}
	}
	public := subnet(Public, awsec2.SubnetType_PUBLIC)
	public.MapPublicIpOnLaunch = jsii.Bool(false)
	application := awsec2.SubnetType_PRIVATE_ISOLATED
	props := &awsec2.VpcProps{
		IpAddresses:                  awsec2.IpAddresses_Cidr(jsii.String(p.CIDR.String())),
		MaxAzs:                       jsii.Number(availabilityZones),
		NatGateways:                  jsii.Number(0),
		RestrictDefaultSecurityGroup: jsii.Bool(true),
		GatewayEndpoints: &map[string]*awsec2.GatewayVpcEndpointOptions{
			"S3":       {Service: awsec2.GatewayVpcEndpointAwsService_S3()},
			"DynamoDb": {Service: awsec2.GatewayVpcEndpointAwsService_DYNAMODB()},
		},
	}
	var instance awsec2.NatInstanceProviderV2
	switch p.NAT {
	case NATGateway:
		application = awsec2.SubnetType_PRIVATE_WITH_EGRESS
		props.NatGateways = jsii.Number(p.NATGateways)
	case NATInstance:
		application = awsec2.SubnetType_PRIVATE_WITH_EGRESS
		props.NatGateways = jsii.Number(1)
		instance = newNATInstance()
		props.NatGatewayProvider = instance
	}
	props.SubnetConfiguration = &[]*awsec2.SubnetConfiguration{
		public, subnet(Application, application), subnet(Database, awsec2.SubnetType_PRIVATE_ISOLATED),
	}
	vpc := awsec2.NewVpc(scope, jsii.String("Vpc"), props)
	if instance != nil {
		hardenNATInstance(instance, p.CIDR)
	}
	return vpc
}

func (n *Network) logFlows(scope constructs.Construct, p Props) {
	logs := awslogs.NewLogGroup(scope, jsii.String("FlowLog"), &awslogs.LogGroupProps{
		Retention:     p.FlowLogRetention,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	role := awsiam.NewRole(scope, jsii.String("FlowLogRole"), &awsiam.RoleProps{
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("vpc-flow-logs.amazonaws.com"), nil),
		Description: jsii.String("Writes the VPC flow log"),
	})
	n.vpc.AddFlowLog(jsii.String("FlowLogs"), &awsec2.FlowLogOptions{
		Destination: awsec2.FlowLogDestination_ToCloudWatchLogs(logs, role),
		// Accepted traffic is most of the volume and price; refused traffic is what an
		// investigation starts from.
		TrafficType: awsec2.FlowLogTrafficType_REJECT,
	})
}

func (n *Network) addInterfaceEndpoints(scope constructs.Construct, p Props) {
	n.endpoints = awsec2.NewSecurityGroup(scope, jsii.String("EndpointSecurityGroup"), &awsec2.SecurityGroupProps{
		Vpc:              n.vpc,
		Description:      jsii.String("Interface endpoints: HTTPS from the groups that use them"),
		AllowAllOutbound: jsii.Bool(false),
	})
	if p.NAT != NoNAT {
		return
	}
	services := map[string]awsec2.InterfaceVpcEndpointAwsService{
		"SecretsManager": awsec2.InterfaceVpcEndpointAwsService_SECRETS_MANAGER(),
	}
	if p.SessionManager {
		services["Ssm"] = awsec2.InterfaceVpcEndpointAwsService_SSM()
		services["SsmMessages"] = awsec2.InterfaceVpcEndpointAwsService_SSM_MESSAGES()
		services["Ec2Messages"] = awsec2.InterfaceVpcEndpointAwsService_EC2_MESSAGES()
	}
	subnets := n.ApplicationSubnets()
	if !p.EndpointPerZone {
		one := (*n.vpc.SelectSubnets(subnets).Subnets)[:1]
		subnets = &awsec2.SubnetSelection{Subnets: &one}
	}
	for _, id := range slices.Sorted(maps.Keys(services)) {
		n.vpc.AddInterfaceEndpoint(jsii.String(id), &awsec2.InterfaceVpcEndpointOptions{
			Service: services[id],
			Subnets: subnets,
			// Rules go from group to group, in the stack of the group that uses the endpoint.
			Open:           jsii.Bool(false),
			SecurityGroups: &[]awsec2.ISecurityGroup{n.endpoints},
		})
	}
}

// guardDatabaseSubnets is a second, stateless fence behind the security groups:
// the database subnets talk to the application subnets only.
func (n *Network) guardDatabaseSubnets(scope constructs.Construct, p Props) {
	acl := awsec2.NewNetworkAcl(scope, jsii.String("DatabaseAcl"), &awsec2.NetworkAclProps{
		Vpc:             n.vpc,
		SubnetSelection: n.DatabaseSubnets(),
	})
	for i, subnet := range *n.vpc.SelectSubnets(n.ApplicationSubnets()).Subnets {
		cidr := awsec2.AclCidr_Ipv4(subnet.Ipv4CidrBlock())
		for j, port := range p.DatabasePorts {
			acceptAcl(acl.AddEntry(jsii.String(fmt.Sprintf("QueriesFromZone%d_%d", i+1, port)),
				&awsec2.CommonNetworkAclEntryOptions{
					Cidr: cidr, Direction: awsec2.TrafficDirection_INGRESS, RuleNumber: jsii.Number(100 + 10*i + j),
					Traffic: awsec2.AclTraffic_TcpPort(jsii.Number(port)),
				}))
		}
		acceptAcl(acl.AddEntry(jsii.String(fmt.Sprintf("AnswersToZone%d", i+1)), &awsec2.CommonNetworkAclEntryOptions{
			Cidr: cidr, Direction: awsec2.TrafficDirection_EGRESS, RuleNumber: jsii.Number(100 + 10*i),
			Traffic: awsec2.AclTraffic_TcpPortRange(jsii.Number(1024), jsii.Number(65535)),
		}))
	}
	acceptAcl(acl)
}

func acceptAcl(aclOrEntry constructs.IConstruct) {
	nag.Accept(aclOrEntry, nag.Exception{Rule: "AwsSolutions-VPC3",
		Reason: "The stateless fence is wanted: it holds where a security group is opened by mistake."})
}

// VPC is the network itself.
func (n *Network) VPC() awsec2.Vpc { return n.vpc }

// ApplicationSubnets selects the subnets of functions and servers.
func (n *Network) ApplicationSubnets() *awsec2.SubnetSelection {
	return &awsec2.SubnetSelection{SubnetGroupName: jsii.String(Application)}
}

// DatabaseSubnets selects the isolated subnets of databases.
func (n *Network) DatabaseSubnets() *awsec2.SubnetSelection {
	return &awsec2.SubnetSelection{SubnetGroupName: jsii.String(Database)}
}

// NewSecurityGroup makes the group of something that runs in the network. It reaches what the
// openings open to it, such as OpenHTTPS or a database's Admit, and is reached by nobody. The rules
// land in the stack of scope.
func (n *Network) NewSecurityGroup(
	scope constructs.Construct, id, description string, openings ...func(awsec2.SecurityGroup),
) awsec2.SecurityGroup {
	group := awsec2.NewSecurityGroup(scope, jsii.String(id), &awsec2.SecurityGroupProps{
		Vpc:              n.vpc,
		Description:      jsii.String(description),
		AllowAllOutbound: jsii.Bool(false),
	})
	for _, open := range openings {
		open(group)
	}
	return group
}

// OpenS3 lets user call S3 by the gateway endpoint, whose address ranges are known only to a
// look-up: the rule goes out to anywhere, and the route tables end at AWS.
func (n *Network) OpenS3(user awsec2.SecurityGroup) {
	user.AddEgressRule(awsec2.Peer_AnyIpv4(), awsec2.Port_Tcp(jsii.Number(443)),
		jsii.String("S3, by the gateway endpoint"), nil)
}

// OpenHTTPS lets user call AWS over HTTPS: out to anywhere, because the gateway
// endpoints' address ranges are known only to a look-up and the route tables
// already end at AWS, and in at the interface endpoints, which may come later.
// The rules land in the stack of user.
func (n *Network) OpenHTTPS(user awsec2.SecurityGroup) {
	https := awsec2.Port_Tcp(jsii.Number(443))
	user.AddEgressRule(awsec2.Peer_AnyIpv4(), https, jsii.String("AWS services"), nil)
	user.Connections().AllowTo(n.endpoints, https, jsii.String("Interface endpoints"))
}
