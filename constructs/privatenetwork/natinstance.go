package privatenetwork

import (
	"net/netip"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsec2"
	"github.com/aws/jsii-runtime-go"

	"diecast/constructs/nag"
)

func newNATInstance() awsec2.NatInstanceProviderV2 {
	return awsec2.NatProvider_InstanceV2(&awsec2.NatInstanceProps{
		// On a nano the installation of what forwards at the first start runs out of memory, and
		// nothing is forwarded (github.com/amazonlinux/amazon-linux-2023, issue 404).
		InstanceType: awsec2.NewInstanceType(jsii.String("t4g.micro")),
		// A NAT instance needs no ingress from outside the VPC: answers to what it
		// forwarded come back by connection tracking.
		DefaultAllowedTraffic:    awsec2.NatTrafficDirection_OUTBOUND_ONLY,
		AssociatePublicIpAddress: jsii.Bool(true),
		MachineImage: awsec2.MachineImage_LatestAmazonLinux2023(&awsec2.AmazonLinux2023ImageSsmParameterProps{
			CpuType: awsec2.AmazonLinuxCpuType_ARM_64,
		}),
	})
}

// hardenNATInstance sets what the L2 construct leaves at EC2's defaults:
// an encrypted disk and metadata only through sessions that cannot be forwarded.
func hardenNATInstance(provider awsec2.NatInstanceProviderV2, vpc netip.Prefix) {
	provider.Connections().AllowFrom(awsec2.Peer_Ipv4(jsii.String(vpc.String())), awsec2.Port_AllTraffic(),
		jsii.String("Traffic to forward, from the VPC"))
	for _, instance := range *provider.GatewayInstances() {
		cfn := instance.Node().DefaultChild().(awsec2.CfnInstance)
		cfn.SetBlockDeviceMappings(&[]any{&awsec2.CfnInstance_BlockDeviceMappingProperty{
			DeviceName: jsii.String("/dev/xvda"),
			Ebs: &awsec2.CfnInstance_EbsProperty{
				Encrypted: jsii.Bool(true), VolumeType: jsii.String("gp3"), DeleteOnTermination: jsii.Bool(true),
			},
		}})
		cfn.SetMonitoring(jsii.Bool(true))
		cfn.SetMetadataOptions(&awsec2.CfnInstance_MetadataOptionsProperty{
			HttpTokens: jsii.String("required"), HttpPutResponseHopLimit: jsii.Number(1),
		})
		nag.Accept(instance, nag.Exception{Rule: "AwsSolutions-EC29",
			Reason: "The instance holds no state and is replaced by the next deployment; termination protection " +
				"would stop that."}, nag.Exception{Rule: "CdkNagValidationFailure",
			Reason: "AwsSolutions-EC26 ends in an error where the stack holds another launch template that has no " +
				"name; this instance's disk is encrypted by its own block device mapping."})
	}
}
