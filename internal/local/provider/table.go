package provider

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"diecast/internal/assembly"
	"diecast/internal/local/dynalite"
	"diecast/internal/local/engine"
)

var table = kind[assembly.Table]{
	types: []string{"AWS::DynamoDB::GlobalTable"}, needs: []engine.Engine{engine.Dynalite},
	check: checkTable, create: createTable,
}

func checkTable(
	_ context.Context, _ Options, resource *assembly.Resource, t *assembly.Table,
) (problems assembly.Problems) {
	refuse := func(path string, key assembly.TableKey) {
		if key.PartitionKey != "" && key.PartitionKey == key.SortKey {
			problems = append(problems, resource.Problem(path,
				"got %q as both HASH and RANGE, want two attributes", key.SortKey))
		}
	}
	refuse("Properties.KeySchema", t.Key)
	for i, index := range t.Indexes {
		refuse(fmt.Sprintf("Properties.GlobalSecondaryIndexes[%d].KeySchema", i), index.Key)
	}
	return problems
}

func createTable(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Table,
) (assembly.Creation, error) {
	attribute := func(name string) dynalite.Attribute {
		return dynalite.Attribute{Name: name, Type: types.ScalarAttributeType(t.AttributeTypes[name])}
	}
	key := func(k assembly.TableKey) dynalite.Key {
		made := dynalite.Key{Partition: attribute(k.PartitionKey)}
		if k.SortKey != "" {
			made.Sort = attribute(k.SortKey)
		}
		return made
	}
	table := dynalite.Table{Name: physicalName(resource, t.Name), Key: key(t.Key)}
	for _, index := range t.Indexes {
		table.Indexes = append(table.Indexes, dynalite.Index{
			Name: index.Name, Key: key(index.Key),
			Projection: types.ProjectionType(index.Projection), Include: index.NonKeyAttributes,
		})
	}
	if err := engine.Dynalite.In(run.Engines).CreateTable(ctx, table); err != nil {
		return assembly.Creation{}, err
	}
	arn := arn("dynamodb", "table/%s", table.Name)
	return assembly.Creation{Ref: table.Name, Attributes: map[string]any{"Arn": arn}}, nil
}
