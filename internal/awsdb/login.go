package awsdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Login finds the user name and the password for a new connection. It is asked each time: tokens
// live for 15 minutes, and secrets are rotated.
type Login func(context.Context) (user, password string, err error)

// Login of these settings. It makes no call itself. The configuration gives the credentials that
// sign a token, or those that read the secret.
func (s Settings) Login(configuration aws.Config) Login {
	if s.Auth == IAM {
		return func(ctx context.Context) (string, string, error) {
			token, err := auth.BuildAuthToken(ctx, s.Address(), s.Region, s.User, configuration.Credentials)
			if err != nil {
				return "", "", fmt.Errorf("sign the IAM token for database user %s at %s: %w", s.User, s.Address(), err)
			}
			return s.User, token, nil
		}
	}
	client := secretsmanager.NewFromConfig(configuration)
	return func(ctx context.Context) (string, string, error) {
		answer, err := client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.SecretARN})
		if err != nil {
			return "", "", fmt.Errorf("read the database secret %s: %w", s.SecretARN, err)
		}
		user, password, err := parseSecret(aws.ToString(answer.SecretString))
		if err != nil {
			return "", "", fmt.Errorf("database secret %s: %w", s.SecretARN, err)
		}
		return user, password, nil
	}
}

// parseSecret reads what RDS writes into a secret that it manages. Its errors never quote the text.
func parseSecret(text string) (user, password string, err error) {
	var secret struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}
	if json.Unmarshal([]byte(text), &secret) != nil {
		return "", "", errors.New("its value is not a JSON object with the texts username and password")
	}
	if secret.Username == "" || secret.Password == "" {
		return "", "", errors.New("username or password is missing in it")
	}
	return secret.Username, secret.Password, nil
}
