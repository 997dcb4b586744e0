package fleet

import (
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"diecast/internal/local/balancer"
)

// namespace of the answers (Auto Scaling API reference, version 2011-01-01).
const namespace = "http://autoscaling.amazonaws.com/doc/2011-01-01/"

// maxRequest bounds a request, in bytes.
const maxRequest = 1 << 20

// States of a refresh, as DescribeInstanceRefreshes names them.
const (
	pending            = "Pending"
	inProgress         = "InProgress"
	successful         = "Successful"
	failed             = "Failed"
	rollbackSuccessful = "RollbackSuccessful"
)

// refresh is an instance refresh: it builds the group's program anew and rolls the instances to it.
type refresh struct {
	AutoScalingGroupName string
	InstanceRefreshID    string `xml:"InstanceRefreshId"`
	Status               string
	StatusReason         string `xml:",omitempty"`
	StartTime            string
	EndTime              string `xml:",omitempty"`
	PercentageComplete   int
	InstancesToUpdate    int
}

func (r *refresh) over() bool { return r.EndTime != "" }

// fault is an error of the API, as the reference names it.
type fault struct{ code, message string }

func (f *fault) Error() string { return f.code + ": " + f.message }

func invalid(format string, arguments ...any) *fault {
	return &fault{"ValidationError", fmt.Sprintf(format, arguments...)}
}

// list is a list of the Query protocol.
type list[T any] struct {
	Members []T `xml:"member"`
}

// api answers actions of the Query protocol by the parameter that names them.
func (h *Host) api() http.Handler {
	actions := map[string]func(url.Values) (any, error){
		"DescribeAutoScalingGroups":           h.describeGroups,
		"StartInstanceRefresh":                h.startRefresh,
		"DescribeInstanceRefreshes":           h.describeRefreshes,
		"TerminateInstanceInAutoScalingGroup": h.terminate,
	}
	known := strings.Join(slices.Sorted(maps.Keys(actions)), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
		if err := r.ParseForm(); err != nil {
			respond(w, "", nil, invalid("the request cannot be read: %v", err))
			return
		}
		name := r.Form.Get("Action")
		action, ok := actions[name]
		if !ok {
			respond(w, "", nil, &fault{"InvalidAction", fmt.Sprintf("%q is not known here: %s are", name, known)})
			return
		}
		answer, err := action(r.Form)
		respond(w, name, answer, err)
	})
}

// respond writes <Action>Response with <Action>Result in it, or an ErrorResponse.
func respond(w http.ResponseWriter, action string, answer any, failure error) {
	id := uuid.NewString()
	w.Header().Set("Content-Type", "text/xml")
	w.Header().Set("X-Amzn-Requestid", id)
	encoder := xml.NewEncoder(w)
	element := func(name string) xml.StartElement { return xml.StartElement{Name: xml.Name{Local: name}} }
	if failure == nil {
		response := element(action + "Response")
		response.Attr = []xml.Attr{{Name: xml.Name{Local: "xmlns"}, Value: namespace}}
		// These fail where the caller has hung up.
		_ = encoder.EncodeToken(response)
		_ = encoder.EncodeElement(answer, element(action+"Result"))
		_ = encoder.EncodeElement(struct{ RequestId string }{id}, element("ResponseMetadata"))
		_ = encoder.EncodeToken(response.End())
		_ = encoder.Flush()
		return
	}
	told := &fault{"InternalFailure", failure.Error()}
	kind, status := "Receiver", http.StatusInternalServerError
	if errors.As(failure, &told) {
		kind, status = "Sender", http.StatusBadRequest
	}
	w.WriteHeader(status)
	type detail struct{ Type, Code, Message string }
	// As above.
	_ = encoder.EncodeElement(struct {
		Error     detail
		RequestId string
	}{detail{kind, told.code, told.message}, id}, element("ErrorResponse"))
}

// members of a list parameter.
func members(form url.Values, name string) []string {
	var all []string
	for n := 1; form.Has(name + ".member." + strconv.Itoa(n)); n++ {
		all = append(all, form.Get(name+".member."+strconv.Itoa(n)))
	}
	return all
}

// only refuses parameters that would not be honoured.
func only(form url.Values, names ...string) error {
	for name := range form {
		first, _, _ := strings.Cut(name, ".")
		if first != "Action" && first != "Version" && !slices.Contains(names, first) {
			return invalid("%s is not known here: of this action %s are", first, strings.Join(names, ", "))
		}
	}
	return nil
}

type describedInstance struct {
	InstanceID           string `xml:"InstanceId"`
	AvailabilityZone     string
	LifecycleState       string
	HealthStatus         string
	ProtectedFromScaleIn bool
}

type describedGroup struct {
	AutoScalingGroupName              string
	MinSize, MaxSize, DesiredCapacity int
	DefaultCooldown                   int
	HealthCheckType                   string
	HealthCheckGracePeriod            int
	CreatedTime                       string
	AvailabilityZones                 list[string]
	Instances                         list[describedInstance]
}

func (h *Host) describeGroups(form url.Values) (any, error) {
	if err := only(form, "AutoScalingGroupNames", "MaxRecords"); err != nil {
		return nil, err
	}
	wanted := members(form, "AutoScalingGroupNames")
	h.mutex.Lock()
	groups := maps.Clone(h.groups)
	h.mutex.Unlock()
	var answer struct{ AutoScalingGroups list[describedGroup] }
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if len(wanted) > 0 && !slices.Contains(wanted, name) {
			continue
		}
		answer.AutoScalingGroups.Members = append(answer.AutoScalingGroups.Members, groups[name].described())
	}
	return answer, nil
}

func (g *group) described() describedGroup {
	told := describedGroup{
		AutoScalingGroupName: g.Name, MinSize: g.Size, MaxSize: g.Size, DesiredCapacity: g.Size, HealthCheckType: "ELB",
		HealthCheckGracePeriod: int(g.Grace.Seconds()), CreatedTime: stamp(g.created),
		AvailabilityZones: list[string]{g.Zones},
	}
	for _, i := range g.members() {
		health := "Healthy"
		select {
		case <-i.server.Exited():
			health = "Unhealthy"
		default:
		}
		told.Instances.Members = append(told.Instances.Members, describedInstance{
			InstanceID: i.id, AvailabilityZone: i.zone, LifecycleState: "InService", HealthStatus: health,
		})
	}
	return told
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (h *Host) startRefresh(form url.Values) (any, error) {
	// How many may be missing meanwhile, and how long to wait, is for who knows the instances of a
	// cloud: here none is missing, and none is waited for once it is healthy.
	if err := only(form, "AutoScalingGroupName", "Preferences", "Strategy"); err != nil {
		return nil, err
	}
	if strategy := form.Get("Strategy"); strategy != "" && strategy != "Rolling" {
		return nil, invalid("Strategy is %q: only Rolling is known here", strategy)
	}
	g, err := h.find(form.Get("AutoScalingGroupName"))
	if err != nil {
		return nil, invalid("%v", err)
	}
	id, err := g.refresh()
	return struct {
		InstanceRefreshID string `xml:"InstanceRefreshId"`
	}{id}, err
}

// refresh builds the group's program anew and rolls the instances to it, beside.
func (g *group) refresh() (id string, err error) {
	g.mutex.Lock()
	if last := len(g.refreshes) - 1; last >= 0 && !g.refreshes[last].over() {
		defer g.mutex.Unlock()
		return "", &fault{"InstanceRefreshInProgress", "instance refresh " + g.refreshes[last].InstanceRefreshID +
			" is under way: wait for its end"}
	}
	r := &refresh{AutoScalingGroupName: g.Name, InstanceRefreshID: uuid.NewString(), Status: pending,
		StartTime: stamp(time.Now()), InstancesToUpdate: g.Size}
	g.refreshes = append(g.refreshes, r)
	g.mutex.Unlock()
	tell := func(change func()) {
		g.mutex.Lock()
		defer g.mutex.Unlock()
		change()
	}
	retried := g.Targets.Retried()
	return r.InstanceRefreshID, g.start(func() {
		executable, err := g.host.compile(g.ctx, g.Source)
		if err == nil {
			err = g.roll(executable, func(done, of int) {
				tell(func() {
					r.Status, r.PercentageComplete, r.InstancesToUpdate = inProgress, 100*done/of, of-done
				})
			})
		}
		tell(func() {
			r.EndTime, r.Status = stamp(time.Now()), successful
			r.StatusReason = balancer.OnAWS(g.Targets.Retried() - retried)
			if err != nil {
				r.Status, r.StatusReason = failed, err.Error()+"; "+r.StatusReason
			}
			if errors.Is(err, errRolledBack) {
				r.Status = rollbackSuccessful
			}
		})
	})
}

func (h *Host) describeRefreshes(form url.Values) (any, error) {
	if err := only(form, "AutoScalingGroupName", "InstanceRefreshIds", "MaxRecords"); err != nil {
		return nil, err
	}
	g, err := h.find(form.Get("AutoScalingGroupName"))
	if err != nil {
		return nil, invalid("%v", err)
	}
	wanted := members(form, "InstanceRefreshIds")
	g.mutex.Lock()
	defer g.mutex.Unlock()
	var answer struct{ InstanceRefreshes list[refresh] }
	for _, r := range slices.Backward(g.refreshes) { // the newest first
		if len(wanted) == 0 || slices.Contains(wanted, r.InstanceRefreshID) {
			answer.InstanceRefreshes.Members = append(answer.InstanceRefreshes.Members, *r)
		}
	}
	return answer, nil
}

func (h *Host) terminate(form url.Values) (any, error) {
	if err := only(form, "InstanceId", "ShouldDecrementDesiredCapacity"); err != nil {
		return nil, err
	}
	if form.Get("ShouldDecrementDesiredCapacity") != "false" {
		return nil, invalid("ShouldDecrementDesiredCapacity must be false: a group keeps its size here")
	}
	id := form.Get("InstanceId")
	h.mutex.Lock()
	groups := slices.Collect(maps.Values(h.groups))
	h.mutex.Unlock()
	for _, g := range groups {
		for _, i := range g.members() {
			if i.id != id {
				continue
			}
			return struct{}{}, g.start(func() {
				g.changing.Lock()
				defer g.changing.Unlock()
				if slices.Contains(g.members(), i) {
					g.replaceLost(i)
				}
			})
		}
	}
	return nil, invalid("no instance is called %q", id)
}
