package provider

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"diecast/internal/assembly"
	"diecast/internal/local/engine"
)

// physicalName is the template's, or one made like CloudFormation's: stack, logical id and a few
// characters.
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

// arn of a resource in the laptop's region and account.
func arn(service, format string, arguments ...any) string {
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, engine.Region, engine.Account, fmt.Sprintf(format, arguments...))
}

// lastPart of an ARN is the resource's name. A name alone is its own last part.
func lastPart(arn, separator string) string { return arn[strings.LastIndex(arn, separator)+1:] }
