package lambdahost

import (
	"fmt"
	"path/filepath"
	"strconv"

	"diecast/internal/surroundings"
)

// reservedVariables cannot be set by a template (Lambda Developer Guide, "Defined runtime
// environment variables").
var reservedVariables = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
	"AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY",
	"AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

// environment is all that a process of the function sees: nothing comes from this process.
func (h *Host) environment(f Function, instance, runtimeAPI, scratch string) []string {
	variables := map[string]string{
		"LANG": "en_US.UTF-8", "TZ": ":UTC",
		"GOMEMLIMIT":                fmt.Sprintf("%dMiB", f.MemoryMiB),
		"AWS_ENDPOINT_URL_LAMBDA":   h.Endpoint(),
		"AWS_EC2_METADATA_DISABLED": "true", // else a wrong credential would be looked for on the network
	}
	own := map[string]string{
		"_HANDLER": bootstrap, "LAMBDA_TASK_ROOT": filepath.Dir(f.Executable),
		"AWS_REGION": h.options.Region, "AWS_DEFAULT_REGION": h.options.Region,
		"AWS_ACCESS_KEY_ID":        h.options.Credentials.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY":    h.options.Credentials.SecretAccessKey,
		"AWS_LAMBDA_FUNCTION_NAME": f.Name, "AWS_LAMBDA_FUNCTION_VERSION": latest,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(f.MemoryMiB), "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/" + f.Name, "AWS_LAMBDA_LOG_STREAM_NAME": instance,
		"AWS_LAMBDA_RUNTIME_API": runtimeAPI,
	}
	if token := h.options.Credentials.SessionToken; token != "" {
		own["AWS_SESSION_TOKEN"] = token
	}
	// The scratch folder is in the place of Lambda's /tmp.
	return surroundings.List(surroundings.Bare(scratch), variables, f.Environment, h.options.Environment, own)
}
