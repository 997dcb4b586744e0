package provider

import (
	"context"
	"encoding/json"
	"fmt"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
	"diecast/internal/local/password"
)

var secret = kind[assembly.Secret]{
	types: []string{"AWS::SecretsManager::Secret"}, needs: []engine.Engine{engine.Moto},
	check: checkSecret, create: createSecret,
}

func checkSecret(_ context.Context, _ Options, resource *assembly.Resource, t *assembly.Secret) assembly.Problems {
	if _, err := secretValue(t); err != nil {
		return assembly.Problems{resource.Problem("Properties.GenerateSecretString", "%v", err)}
	}
	return nil
}

func createSecret(
	ctx context.Context, run *Run, resource *assembly.Resource, t *assembly.Secret,
) (assembly.Creation, error) {
	value, err := secretValue(t)
	if err != nil {
		return assembly.Creation{}, err
	}
	arn, err := engine.Moto.In(run.Engines).CreateSecret(ctx, physicalName(resource, t.Name), value)
	return assembly.Creation{Ref: arn, Attributes: map[string]any{"Id": arn}}, err
}

// secretValue is a generated password, alone or as a member of the template.
func secretValue(t *assembly.Secret) (string, error) {
	generated, err := password.Generate(password.Options{
		Length: t.Length, Without: t.Without, WithSpace: t.WithSpace, EachKind: t.EachKind,
		WithoutPunctuation: t.WithoutPunctuation, WithoutDigits: t.WithoutDigits,
		WithoutLowercase: t.WithoutLowercase, WithoutUppercase: t.WithoutUppercase,
	})
	if err != nil || t.Key == "" {
		return generated, err
	}
	value := map[string]any{}
	if err := json.Unmarshal([]byte(t.Template), &value); err != nil {
		return "", fmt.Errorf("SecretStringTemplate is no JSON object: %w", err)
	}
	value[t.Key] = generated
	text, err := json.Marshal(value)
	return string(text), err
}
