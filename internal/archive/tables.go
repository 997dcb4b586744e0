package archive

// Table is what a catalogue shows of the bucket. Its objects hold one document of JSON to a line.
type Table struct {
	Name string
	// Meaning is for people.
	Meaning string
	// Folder is the key prefix of its objects, with a closing slash.
	Folder string
	// ByHour says that below the folder there is one for each hour of arrival, in UTC, as
	// HourFormat names it.
	ByHour bool
	// AnyCase says that fields are found whatever the case of their names, as those that AWS names.
	// Ours are exact: beside `city` a record may carry the shop's own `City`.
	AnyCase bool
	Columns []Column
}

// Column is a field of a document by its name in lower case and its type in Hive's words.
type Column struct {
	Name, Type string
}

// The tables of the bucket.
const (
	RecommendationsTable = "recommendations"
	RefusedTable         = "refused"
	GivenUpTable         = "given_up"
)

// HourColumn is the partition column of tables by hour. Its values are the folders' names, such as
// year=2026/month=03/day=01/hour=09, in the order of time.
const HourColumn = "arrival_hour"

const (
	items = "array<struct<id:string,score:double>>"
	// Quantities are numbers or strings of digits: the course's events have both.
	products   = "array<struct<product_code:string,quantity:string,in_shopping_cart:boolean>>"
	neighbours = "array<struct<product_code:string,similar_items:array<struct<id:string,distance:double>>>>"
)

// Tables are those of the bucket: recommendation records, what was refused (internal/erroroutput),
// and what a consumer gave up (Lambda developer guide, "Retain discarded batches"). Numbers of the
// error output are texts here, because the guide says that they are, and streams were seen to write
// numbers: as texts both are read.
func Tables() []Table {
	return []Table{{
		Name: RecommendationsTable, Folder: Recommendations, ByHour: true,
		Meaning: "Events with what was recommended; an event can be there more than once",
		Columns: []Column{
			{"event_id", "string"}, {"event_time", "string"}, {"event_type", "string"}, {"schema_version", "int"},
			{"session_id", "string"}, {"customer_number", "int"}, {"city", "string"}, {"country", "string"},
			{"credit_limit", "double"}, {"browse_history", products}, {"recommended_items", items},
			{"similar_items", neighbours}, {"model_version", "string"}, {"rung", "string"},
			{"degraded", "boolean"}, {"truncated", "boolean"}, {"recommended_at", "string"},
		},
	}, {
		Name: RefusedTable, Folder: Refused, ByHour: true, AnyCase: true,
		Meaning: "Events that were refused, as base64 in rawdata, with Firehose's reason",
		Columns: []Column{
			{"rawdata", "string"}, {"errorcode", "string"}, {"errormessage", "string"}, {"attemptsmade", "string"},
			{"arrivaltimestamp", "string"}, {"attemptendingtimestamp", "string"}, {"lambdaarn", "string"},
		},
	}, {
		Name: GivenUpTable, Folder: Failures, AnyCase: true,
		Meaning: "Batches of the stream that the function for the shop gave up, with their events in payload",
		Columns: []Column{
			{"requestcontext", "struct<requestid:string,functionarn:string,condition:string," +
				"approximateinvokecount:int>"},
			{"responsecontext", "struct<statuscode:int,executedversion:string,functionerror:string>"},
			{"version", "string"}, {"timestamp", "string"},
			{"kinesisbatchinfo", "struct<shardid:string,startsequencenumber:string,endsequencenumber:string," +
				"approximatearrivaloffirstrecord:string,approximatearrivaloflastrecord:string,batchsize:int," +
				"streamarn:string>"},
			{"payload", "string"},
		},
	}}
}
