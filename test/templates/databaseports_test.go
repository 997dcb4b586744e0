package templates

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/constructs/database"
	"diecast/constructs/privatenetwork"
)

// cutOff says why nobody reaches a database, or "": its port, the rules of its security groups and
// their clients', and the network ACL of its subnets must agree, and nothing but AWS would say that
// they do not.
func (a assembly) cutOff(stack string, db resource) string {
	port, err := strconv.Atoi(fmt.Sprint(db.Properties["Port"]))
	if err != nil {
		return "Port is not stated"
	}
	groups, _ := db.Properties["VPCSecurityGroups"].([]any)
	for _, group := range groups {
		if problem := a.groupRefuses(a.target(stack, group), port); problem != "" {
			return problem
		}
	}
	_, subnetGroup := a.find(a.target(stack, db.Properties["DBSubnetGroupName"]))
	subnets, _ := subnetGroup.Properties["SubnetIds"].([]any)
	if len(groups) == 0 || len(subnets) == 0 {
		return "it has no security group or no subnets"
	}
	for _, subnet := range subnets {
		if problem := a.aclRefuses(a.target(stack, subnet), port); problem != "" {
			return problem
		}
	}
	return ""
}

// groupRefuses looks whether the clients that a database's group admits are those that may reach
// it.
func (a assembly) groupRefuses(group string, port int) string {
	admitted, reaching := map[string]bool{}, map[string]bool{}
	for id, r := range a.all {
		stack, _, _ := strings.Cut(id, "/")
		in, out := a.target(stack, r.Properties["GroupId"]), a.target(stack, r.Properties["DestinationSecurityGroupId"])
		switch {
		case r.Type == "AWS::EC2::SecurityGroupIngress" && in == group:
			admitted[a.target(stack, r.Properties["SourceSecurityGroupId"])] = true
		case r.Type == "AWS::EC2::SecurityGroupEgress" && out == group:
			reaching[in] = true
		default:
			continue
		}
		if !exactly(r.Properties, port) {
			return fmt.Sprintf("%s opens %v to %v, not %d", id, r.Properties["FromPort"], r.Properties["ToPort"], port)
		}
	}
	if len(admitted) == 0 || !maps.Equal(admitted, reaching) {
		return fmt.Sprintf("%s admits %q, and %q may reach it", group,
			slices.Sorted(maps.Keys(admitted)), slices.Sorted(maps.Keys(reaching)))
	}
	return ""
}

func exactly(rule map[string]any, port int) bool {
	return fmt.Sprint(rule["FromPort"]) == strconv.Itoa(port) && fmt.Sprint(rule["ToPort"]) == strconv.Itoa(port)
}

// answerPorts are what clients call from, at both ends and between: the answers go there.
var answerPorts = []int{1024, 32768, 65535}

// aclRefuses looks whether the ACL of a subnet takes connections to port from every application
// subnet, and lets the answers out.
func (a assembly) aclRefuses(subnet string, port int) string {
	vpcStack, network := a.find(subnet)
	vpc := a.target(vpcStack, network.Properties["VpcId"])
	acl := ""
	for id, r := range a.all {
		stack, _, _ := strings.Cut(id, "/")
		if r.Type == "AWS::EC2::SubnetNetworkAclAssociation" && a.target(stack, r.Properties["SubnetId"]) == subnet {
			acl = a.target(stack, r.Properties["NetworkAclId"])
		}
	}
	applications := 0
	for id, r := range a.all {
		stack, _, _ := strings.Cut(id, "/")
		application := r.Type == "AWS::EC2::Subnet" && strings.Contains(id, "Application")
		if !application || a.target(stack, r.Properties["VpcId"]) != vpc {
			continue
		}
		applications++
		cidr := fmt.Sprint(r.Properties["CidrBlock"])
		if !a.aclAllows(acl, false, cidr, port) {
			return fmt.Sprintf("the network ACL of %s refuses port %d from %s", subnet, port, id)
		}
		for _, answer := range answerPorts {
			if !a.aclAllows(acl, true, cidr, answer) {
				return fmt.Sprintf("the network ACL of %s refuses answers to port %d of %s", subnet, answer, id)
			}
		}
	}
	if applications == 0 {
		return "no application subnet lies beside " + subnet
	}
	return ""
}

// aclAllows judges TCP packets as EC2 does: the entry with the lowest number that fits decides, and
// where none fits they are dropped (Amazon VPC user guide, "Network ACL rules").
func (a assembly) aclAllows(acl string, egress bool, cidr string, port int) bool {
	packets := netip.MustParsePrefix(cidr)
	lowest, allowed := math.Inf(1), false
	for id, r := range a.all {
		stack, _, _ := strings.Cut(id, "/")
		if r.Type != "AWS::EC2::NetworkAclEntry" || a.target(stack, r.Properties["NetworkAclId"]) != acl {
			continue
		}
		out, _ := r.Properties["Egress"].(bool)
		number, _ := r.Properties["RuleNumber"].(float64)
		entry, err := netip.ParsePrefix(fmt.Sprint(r.Properties["CidrBlock"]))
		if out != egress || number >= lowest || err != nil || !entry.Overlaps(packets) {
			continue
		}
		allow := r.Properties["RuleAction"] == "allow"
		if allow && entry.Bits() > packets.Bits() {
			continue // takes in a part of the subnet only
		}
		if protocol := fmt.Sprint(r.Properties["Protocol"]); protocol != "-1" {
			ports, _ := r.Properties["PortRange"].(map[string]any)
			from, _ := ports["From"].(float64)
			to, _ := ports["To"].(float64)
			if protocol != "6" || port < int(from) || int(to) < port {
				continue
			}
		}
		lowest, allowed = number, allow
	}
	return allowed
}

// target is the resource, as stack/id, that a value of a stack refers to, through exports if need
// be.
func (a assembly) target(stack string, value any) string {
	reference, _ := value.(map[string]any)
	if id, ok := reference["Ref"].(string); ok {
		return stack + "/" + id
	}
	if attribute, ok := reference["Fn::GetAtt"].([]any); ok {
		return fmt.Sprintf("%s/%v", stack, attribute[0])
	}
	if name, ok := reference["Fn::ImportValue"].(string); ok {
		for exporter, one := range a.templates {
			for _, out := range one.Outputs {
				if export, _ := out.Export.(map[string]any); export["Name"] == name {
					return a.target(exporter, out.Value)
				}
			}
		}
	}
	return ""
}

// find returns a resource by its stack/id, and its stack.
func (a assembly) find(target string) (string, resource) {
	stack, id, _ := strings.Cut(target, "/")
	return stack, a.templates[stack].Resources[id]
}

// changed is an assembly of its own whose resources change has been at.
func changed(t *testing.T, a assembly, change func(id string, r resource)) assembly {
	t.Helper()
	copied := assembly{templates: map[string]template{}}
	for name, one := range a.templates {
		var another template
		require.NoError(t, json.Unmarshal(compact(one.raw), &another))
		copied.templates[name] = another
	}
	for id, r := range copied.all {
		change(id, r)
	}
	return copied
}

func (a assembly) cutOffDatabases() []string {
	var problems []string
	for id, r := range a.all {
		if r.Type == "AWS::RDS::DBInstance" {
			stack, _, _ := strings.Cut(id, "/")
			if problem := a.cutOff(stack, r); problem != "" {
				problems = append(problems, problem)
			}
		}
	}
	return problems
}

// TestDatabases_whatIsCutOffIsCaught plants each way in which AWS would drop a database's
// connections.
func TestDatabases_whatIsCutOffIsCaught(t *testing.T) {
	lean := synth(t, "profile=lean")
	require.Empty(t, lean.cutOffDatabases())
	isAnswer := func(r resource) bool {
		return r.Type == "AWS::EC2::NetworkAclEntry" && r.Properties["Egress"] == true
	}
	var client string
	plants := map[string]struct {
		change func(id string, r resource)
		want   string
	}{
		"the answers' way out": {func(_ string, r resource) {
			if isAnswer(r) {
				r.Properties["PortRange"].(map[string]any)["From"] = 2048.0
			}
		}, "refuses answers to port 1024"},
		"a deny before the allow": {func(_ string, r resource) {
			if isAnswer(r) && r.Properties["CidrBlock"] == "10.42.96.0/19" {
				r.Properties["CidrBlock"], r.Properties["RuleAction"] = "10.42.0.0/16", "deny"
				r.Properties["RuleNumber"] = 1.0
			}
		}, "refuses answers"},
		"another client than the one that reaches": {func(_ string, r resource) {
			if r.Type != "AWS::EC2::SecurityGroupIngress" || fmt.Sprint(r.Properties["FromPort"]) != "5432" {
				return
			}
			if client == "" {
				client = "moved"
				r.Properties["SourceSecurityGroupId"] = r.Properties["GroupId"]
			}
		}, "may reach it"},
		"another port": {func(_ string, r resource) {
			if r.Type == "AWS::RDS::DBInstance" {
				r.Properties["Port"] = "3306" // the source's own
			}
		}, "opens 5432 to 5432, not 3306"},
		"the engine's default port": {func(id string, r resource) {
			if r.Type == "AWS::RDS::DBInstance" && strings.HasPrefix(id, "Vectors/") {
				delete(r.Properties, "Port")
			}
		}, "Port is not stated"},
		"a client's way out": {func(_ string, r resource) {
			if r.Type == "AWS::EC2::SecurityGroupEgress" && fmt.Sprint(r.Properties["FromPort"]) == "5432" {
				r.Properties["ToPort"] = 5431.0
			}
		}, "opens 5432 to 5431, not 5432"},
		"the ACL of one zone": {func(_ string, r resource) {
			queries := r.Type == "AWS::EC2::NetworkAclEntry" && r.Properties["Egress"] == false
			if queries && r.Properties["CidrBlock"] == "10.42.96.0/19" &&
				strings.Contains(string(compact(r.Properties)), "5432") {
				r.Properties["RuleAction"] = "deny"
			}
		}, "refuses port 5432 from Network/NetworkVpcApplicationSubnet2"},
	}
	for name, plant := range plants {
		t.Run(name, func(t *testing.T) {
			problems := changed(t, lean, plant.change).cutOffDatabases()
			require.NotEmpty(t, problems)
			assert.Contains(t, problems[0], plant.want)
		})
	}
}

// TestDatabases_secondEngineNeedsItsPortInTheACL is the stack that passed every check and would
// have been unreachable: security groups open, the ACL closed.
func TestDatabases_secondEngineNeedsItsPortInTheACL(t *testing.T) {
	build := func(ports ...int) []string {
		stack, done := isolated(t)
		network := privatenetwork.New(stack, "Network", privatenetwork.Props{
			CIDR: netip.MustParsePrefix("10.0.0.0/16"), DatabasePorts: ports, FlowLogRetention: week,
		})
		props := parts{stack: stack, network: network}.database()
		props.Engine = database.MySQL("8.4.9")
		db := database.New(stack, "Source", props)
		network.NewSecurityGroup(stack, "Client", "Client: to the database", db.Admit)
		return done().cutOffDatabases()
	}
	problems := build(database.PostgreSQL("18.3").Port())
	require.Len(t, problems, 1)
	assert.Contains(t, problems[0], "refuses port 3306")
	assert.Empty(t, build(database.PostgreSQL("18.3").Port(), database.MySQL("8.4.9").Port()))
}
