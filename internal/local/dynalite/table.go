package dynalite

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Attribute is a key attribute.
type Attribute struct {
	Name string
	// Type is S, N or B. Default S.
	Type types.ScalarAttributeType
}

// Key of a table or an index.
type Key struct {
	Partition Attribute
	// Sort is optional: no name, no sort key.
	Sort Attribute
}

// Index is a global secondary index.
type Index struct {
	Name string
	Key  Key
	// Projection is ALL, KEYS_ONLY or INCLUDE with the attributes of Include. Default ALL.
	Projection types.ProjectionType
	Include    []string
}

// Table is billed on request, as far as dynalite bills. It has no time to live: dynalite cannot set
// one. DynamoDB deletes expired items within days only, so whoever reads must look at the time
// anyway.
type Table struct {
	Name    string
	Key     Key
	Indexes []Index
}

// CreateTable makes a table with its indexes and waits until it is ACTIVE. A table of that name
// must not be there.
func (s *Server) CreateTable(ctx context.Context, table Table) error {
	input := &dynamodb.CreateTableInput{
		TableName: aws.String(table.Name), KeySchema: table.Key.schema(), BillingMode: types.BillingModePayPerRequest,
	}
	keys := []Key{table.Key}
	for _, index := range table.Indexes {
		projection := &types.Projection{ProjectionType: index.Projection, NonKeyAttributes: index.Include}
		if projection.ProjectionType == "" {
			projection.ProjectionType = types.ProjectionTypeAll
		}
		input.GlobalSecondaryIndexes = append(input.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: aws.String(index.Name), KeySchema: index.Key.schema(), Projection: projection,
		})
		keys = append(keys, index.Key)
	}
	input.AttributeDefinitions = definitions(keys)

	client := s.Client()
	if _, err := client.CreateTable(ctx, input); err != nil {
		return fmt.Errorf("create table %s: %w", table.Name, err)
	}
	waiter := dynamodb.NewTableExistsWaiter(client, func(options *dynamodb.TableExistsWaiterOptions) {
		options.MinDelay, options.MaxDelay = 10*time.Millisecond, time.Second
	})
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(table.Name)},
		activeWithin); err != nil {
		return fmt.Errorf("wait for table %s: %w", table.Name, err)
	}
	return nil
}

func (k Key) schema() []types.KeySchemaElement {
	schema := []types.KeySchemaElement{{AttributeName: aws.String(k.Partition.Name), KeyType: types.KeyTypeHash}}
	if k.Sort.Name != "" {
		schema = append(schema, types.KeySchemaElement{AttributeName: aws.String(k.Sort.Name),
			KeyType: types.KeyTypeRange})
	}
	return schema
}

// definitions names each attribute once, however many keys it is in.
func definitions(keys []Key) []types.AttributeDefinition {
	var all []types.AttributeDefinition
	seen := map[string]bool{"": true}
	for _, key := range keys {
		for _, attribute := range []Attribute{key.Partition, key.Sort} {
			if seen[attribute.Name] {
				continue
			}
			seen[attribute.Name] = true
			if attribute.Type == "" {
				attribute.Type = types.ScalarAttributeTypeS
			}
			all = append(all, types.AttributeDefinition{AttributeName: aws.String(attribute.Name),
				AttributeType: attribute.Type})
		}
	}
	return all
}
