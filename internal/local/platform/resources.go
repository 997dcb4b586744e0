package platform

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"diecast/internal/assembly"
	"diecast/internal/local/dynalite"
	"diecast/internal/local/kinesalite"
	"diecast/internal/local/lambdahost"
	"diecast/internal/local/moto"
	"diecast/internal/local/process"
)

// create makes one resource on its engine and returns its Ref and attributes, as CloudFormation's resource reference names
// them.
func (p *Platform) create(ctx context.Context, resource *assembly.Resource, typed any) (ref string, attributes map[string]any, err error) {
	switch t := typed.(type) {
	case *assembly.Bucket:
		return p.createBucket(ctx, resource, t)
	case *assembly.Secret:
		return p.createSecret(ctx, resource, t)
	case *assembly.Stream:
		name := physicalName(resource, t.Name)
		arn, err := p.streams.CreateStream(ctx, kinesalite.Stream{Name: name, Shards: t.Shards, Retention: t.Retention})
		return name, map[string]any{"Arn": arn}, err
	case *assembly.Table:
		return p.createTable(ctx, resource, t)
	case *assembly.Database:
		return p.createDatabase(ctx, resource, t)
	case *assembly.Function:
		return p.createFunction(ctx, resource, t)
	case *assembly.FunctionURL:
		return p.createFunctionURL(t)
	case *assembly.EventSourceMapping:
		return p.createConsumer(ctx, resource, t)
	case *assembly.DeliveryStream:
		return p.createDelivery(ctx, resource, t)
	case *assembly.CustomResource:
		return p.createCustomResource(ctx, resource, t)
	}
	return "", nil, fmt.Errorf("internal/assembly runs %T and internal/local/platform does not know it", typed)
}

// physicalName is the template's, or one made like CloudFormation's: stack, logical id and a few characters.
func physicalName(resource *assembly.Resource, wanted string) string {
	if wanted != "" {
		return wanted
	}
	return fmt.Sprintf("%s-%s-%s", resource.Stack.Name, resource.LogicalID, randomText(4))
}

// randomText is twice as many hexadecimal digits as the number of bytes.
func randomText(bytes int) string {
	random := make([]byte, bytes)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	return hex.EncodeToString(random)
}

func (p *Platform) createBucket(ctx context.Context, resource *assembly.Resource, t *assembly.Bucket) (string, map[string]any, error) {
	// Bucket names are lower-case and at most 63 characters long (Amazon S3 user guide, "Bucket naming rules").
	name := strings.ToLower(physicalName(resource, t.Name))
	if len(name) > 63 {
		name = name[:54] + "-" + randomText(4)
	}
	if err := p.cloud.CreateBucket(ctx, moto.Bucket{Name: name, Versioned: t.Versioned}); err != nil {
		return "", nil, err
	}
	address, err := url.Parse(p.cloud.Endpoint())
	if err != nil {
		return "", nil, err
	}
	domain := name + "." + address.Host
	return name, map[string]any{"Arn": "arn:aws:s3:::" + name, "DomainName": domain, "RegionalDomainName": domain}, nil
}

func (p *Platform) createTable(ctx context.Context, resource *assembly.Resource, t *assembly.Table) (string, map[string]any, error) {
	key := func(k assembly.TableKey) dynalite.Key {
		made := dynalite.Key{Partition: dynalite.Attribute{Name: k.PartitionKey, Type: types.ScalarAttributeType(t.AttributeTypes[k.PartitionKey])}}
		if k.SortKey != "" {
			made.Sort = dynalite.Attribute{Name: k.SortKey, Type: types.ScalarAttributeType(t.AttributeTypes[k.SortKey])}
		}
		return made
	}
	table := dynalite.Table{Name: physicalName(resource, t.Name), Key: key(t.Key)}
	for _, index := range t.Indexes {
		table.Indexes = append(table.Indexes, dynalite.Index{
			Name: index.Name, Key: key(index.Key), Projection: types.ProjectionType(index.Projection), Include: index.NonKeyAttributes,
		})
	}
	arn := fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", region, account, table.Name)
	return table.Name, map[string]any{"Arn": arn}, p.tables.CreateTable(ctx, table)
}

// createSecret makes a secret with a generated password, as its template asks.
func (p *Platform) createSecret(ctx context.Context, resource *assembly.Resource, t *assembly.Secret) (string, map[string]any, error) {
	value, err := generateSecret(t)
	if err != nil {
		return "", nil, err
	}
	arn, err := p.cloud.CreateSecret(ctx, physicalName(resource, t.Name), value)
	return arn, map[string]any{"Id": arn}, err
}

// buildFunctions compiles every function before the first is needed, side by side: that takes longer than all else.
func (p *Platform) buildFunctions(ctx context.Context) error {
	p.options.Progress("building the functions")
	group, building := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, resource := range p.plan.Resources() {
		if source := resource.Source(); source != "" && resource.Fate == assembly.Run {
			group.Go(func() error {
				_, err := p.functions.Build(building, filepath.Join(p.options.Source, filepath.FromSlash(source)))
				return err
			})
		}
	}
	return group.Wait()
}

func (p *Platform) createFunction(ctx context.Context, resource *assembly.Resource, t *assembly.Function) (string, map[string]any, error) {
	executable, err := p.functions.Build(ctx, filepath.Join(p.options.Source, filepath.FromSlash(t.Source)))
	if err != nil {
		return "", nil, err
	}
	environment, err := p.databaseSettings(ctx, t.Environment)
	if err != nil {
		return "", nil, err
	}
	name := t.Name
	if name == "" {
		// At most 64 characters (Lambda API reference, CreateFunction).
		name = fmt.Sprintf("%.52s-%s", resource.Stack.Name+"-"+resource.LogicalID, randomText(4))
	}
	function := lambdahost.Function{
		Name: name, Executable: executable, Environment: environment, Timeout: t.Timeout, MemoryMiB: t.MemoryMB,
	}
	if t.ReservedConcurrency > 0 {
		function.Concurrency = t.ReservedConcurrency
	}
	if err := p.functions.Add(function); err != nil {
		return "", nil, err
	}
	p.definitions = append(p.definitions, Function{Source: t.Source, Definition: function})
	return name, map[string]any{"Arn": p.functions.ARN(name)}, nil
}

func (p *Platform) createFunctionURL(t *assembly.FunctionURL) (string, map[string]any, error) {
	auth := lambdahost.None
	if t.RequiresIAM {
		auth = lambdahost.IAM
	}
	name := afterLast(t.FunctionARN, ":")
	address, err := p.functions.AddURL(name, auth)
	arn := p.functions.ARN(name)
	return arn, map[string]any{"FunctionArn": arn, "FunctionUrl": address}, err
}

// createCustomResource calls the function behind the provider framework with the event that CloudFormation would send.
func (p *Platform) createCustomResource(ctx context.Context, resource *assembly.Resource, t *assembly.CustomResource) (string, map[string]any, error) {
	handler, err := p.plan.Handler(resource)
	if err != nil {
		return "", nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	event, err := json.Marshal(map[string]any{
		"RequestType": "Create", "RequestId": uuid.NewString(), "ResourceType": t.Type, "LogicalResourceId": resource.LogicalID,
		"StackId":            fmt.Sprintf("arn:aws:cloudformation:%s:%s:stack/%s/%s", region, account, resource.Stack.Name, uuid.NewString()),
		"ResourceProperties": t.Properties,
	})
	if err != nil {
		return "", nil, err
	}
	result, err := p.functions.Invoke(ctx, p.names[handler], event)
	if err != nil {
		return "", nil, fmt.Errorf("invoking %s: %w", handler, err)
	}
	if result.FunctionError != "" {
		return "", nil, fmt.Errorf("%s failed: %s", handler, result.Payload)
	}
	var answer struct {
		PhysicalResourceID string `json:"PhysicalResourceId"`
		Data               map[string]any
	}
	if err := json.Unmarshal(result.Payload, &answer); err != nil {
		return "", nil, fmt.Errorf("%s answered %s: %w", handler, result.Payload, err)
	}
	return answer.PhysicalResourceID, answer.Data, nil
}

func afterLast(text, separator string) string {
	return text[strings.LastIndex(text, separator)+1:]
}

// freshFolder is an engine's folder without what an earlier run stored: the other engines forget, too.
func (p *Platform) freshFolder(name string) (string, error) {
	folder, err := p.engineFolder(name)
	if err != nil {
		return "", err
	}
	if _, err := process.CleanUp(folder); err != nil {
		return "", fmt.Errorf("stopping what an earlier run left: %w", err)
	}
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	return p.engineFolder(name)
}

// engineFolder is where an engine keeps its files below the run's folder.
func (p *Platform) engineFolder(name string) (string, error) {
	folder := filepath.Join(p.options.Dir, "engines", name)
	return folder, os.MkdirAll(folder, 0o755)
}
