// Package deployment finds a deployed platform by its file of outputs: the names of what was made,
// and clients that reach it. A command that is given such a file does not know whether it talks to
// AWS or to a run on this machine.
//
// It knows what the stacks publish (internal/deployment/outputs), not what anybody does with it.
package deployment

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"diecast/internal/deployment/outputs"
)

// DefaultFile is where a deployment's outputs are looked for when nobody says otherwise.
const DefaultFile = "outputs.json"

// deployAgain is what to do about a file that lacks something.
const deployAgain = "`npx cdk deploy --all --outputs-file " + DefaultFile + "` writes all outputs"

// Deployment is one platform, on AWS or on this machine.
type Deployment struct {
	file, platform string
	contents       outputs.File

	mutex sync.Mutex
	cloud *aws.Config // of a deployment on AWS, once it was loaded
}

// Read finds the one platform in a file of outputs. It calls nobody.
func Read(file string) (*Deployment, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no file of outputs %s: %s; `make up` runs the platform on this machine"+
			" and says where its outputs lie", file, deployAgain)
	}
	if err != nil {
		return nil, fmt.Errorf("file of outputs: %w", err)
	}
	decoded, err := outputs.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("file of outputs %s: %w; %s", file, err, deployAgain)
	}
	platforms := platformsIn(decoded)
	switch len(platforms) {
	case 1:
		return &Deployment{file: file, platform: platforms[0], contents: decoded}, nil
	case 0:
		return nil, fmt.Errorf("file of outputs %s: it has no stack of the platform, such as diecast-%s; %s",
			file, outputs.Streaming, deployAgain)
	}
	return nil, fmt.Errorf("file of outputs %s: it has the stacks of the platforms %s; "+
		"write the outputs of each into a file of its own and name one of them", file, strings.Join(platforms, ", "))
}

// platformsIn are the names before the hyphen and a stack's id, sorted. Other stacks are none of
// ours.
func platformsIn(file outputs.File) []string {
	found := map[string]bool{}
	for name := range file.Stacks {
		for _, stack := range outputs.Stacks {
			if platform, ours := strings.CutSuffix(name, stack.Name("")); ours && platform != "" {
				found[platform] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// Target says which platform this is: a command that changes something prints it first.
func (d *Deployment) Target() string {
	if d.contents.Endpoints != nil {
		return fmt.Sprintf("platform %s on this machine, run of %s", d.platform, d.file)
	}
	where := "on AWS"
	if place, known := d.place(); known {
		where = fmt.Sprintf("on AWS, account %s, region %s", place.AccountID, place.Region)
	}
	return fmt.Sprintf("platform %s %s, outputs of %s", d.platform, where, d.file)
}

// OnThisMachine says whether it is a run of the laptop, where nothing is charged.
func (d *Deployment) OnThisMachine() bool { return d.contents.Endpoints != nil }

// place is the account and the region of the deployment, as one of its ARNs has them.
func (d *Deployment) place() (arn.ARN, bool) {
	for _, output := range []outputs.Output{outputs.AlarmTopicARN, outputs.VectorsDatabaseSecretARN} {
		if parsed, err := arn.Parse(d.contents.Stacks[output.Stack.Name(d.platform)][output.Name]); err == nil {
			return parsed, true
		}
	}
	return arn.ARN{}, false
}

// Value of an output. The error says which file lacks it, and what to do.
func (d *Deployment) Value(output outputs.Output) (string, error) {
	advice := deployAgain
	if d.contents.Endpoints != nil {
		advice = "`make synth`, then start the run again"
	}
	stack := output.Stack.Name(d.platform)
	values, deployed := d.contents.Stacks[stack]
	if !deployed {
		return "", fmt.Errorf("file of outputs %s: it has no stack %s; %s", d.file, stack, advice)
	}
	value, published := values[output.Name]
	if !published {
		return "", fmt.Errorf("file of outputs %s: stack %s has no output %s; %s", d.file, stack, output.Name, advice)
	}
	return value, nil
}
