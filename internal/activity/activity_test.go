package activity_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"diecast/internal/activity"
)

const course = `{"session_id":"a1b2","customer_number":103,"city":"Nantes ","country":"FRANCE","credit_limit":21000.0,
 "browse_history":[{"product_code":"S10_1678","quantity":"2","in_shopping_cart":true},
 {"product_code":"S18_2248","quantity":1,"in_shopping_cart":false,"note":{"a": 1.50}}],"extra":[1, 2]}`

func TestDecodeReadsTheCoursesEvent(t *testing.T) {
	event, err := activity.Decode([]byte(course))
	require.NoError(t, err)
	assert.Equal(t, "a1b2", event.SessionID)
	assert.Equal(t, 103, event.CustomerNumber)
	assert.Equal(t, activity.Features{City: "nantes", Country: "france", CreditLimit: 21000}, event.Features())
	assert.Equal(t, []activity.Browse{{"S10_1678", 2, true}, {"S18_2248", 1, false}}, event.BrowseHistory)
	assert.Equal(t, `{"session_id":"a1b2","customer_number":103,"city":"Nantes ","country":"FRANCE",`+
		`"credit_limit":21000.0,`+
		`"browse_history":[{"product_code":"S10_1678","quantity":"2","in_shopping_cart":true},`+
		`{"product_code":"S18_2248","quantity":1,"in_shopping_cart":false,"note":{"a":1.50}}],"extra":[1,2]}`,
		string(event.Encode()))
}

func TestDecodeNamesEveryViolationAtOnce(t *testing.T) {
	_, err := activity.Decode([]byte(`{"session_id":"","city":"x","country":7,"credit_limit":-1,` +
		`"browse_history":[{"product_code":"S1","quantity":"two","in_shopping_cart":true}]}`))
	var invalid *activity.Error
	require.ErrorAs(t, err, &invalid)
	fields := []string{}
	for _, violation := range invalid.Violations {
		fields = append(fields, violation.Field)
	}
	assert.Equal(t, []string{"session_id", "customer_number", "country", "credit_limit", "browse_history[0].quantity"},
		fields)
}
